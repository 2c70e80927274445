"""An example for each public name of `tg.errors`; the first cell belongs to all of them."""

# %% setup
import tempfile
from pathlib import Path

import torch

import threegen as tg

folder = Path(tempfile.mkdtemp())
net = tg.MLP([784, 20, 10])
data = tg.load_data("mnist").train.take(100)

# %% ThreegenError
try:
    tg.load_data("nonsense")
except tg.errors.ThreegenError as error:  # catches every error that threegen raises on purpose
    print(error)

# %% ConfigError
try:
    tg.fit(net, tg.Backprop("nonsense"), data)
except tg.errors.ConfigError as error:
    print(error)  # names the losses that exist

# %% ShapeError
try:
    net(torch.rand(2, 100))
except tg.errors.ShapeError as error:
    print(error)  # what was expected and what was found

# %% DataError
(folder / "bad.bin").write_bytes(b"123")
try:
    tg.datasets.read_bin(folder / "bad.bin")
except tg.errors.DataError as error:
    print(error)

# %% NumericError
try:
    tg.fit(net, tg.Backprop(), tg.Dataset(torch.full((8, 784), torch.nan), torch.zeros(8, dtype=torch.long)))
except tg.errors.NumericError as error:
    print(error)

# %% CheckpointError
(folder / "run").mkdir()
(folder / "run" / "run.json").write_text("{}")
try:
    tg.load_run(folder / "run")
except tg.errors.ThreegenError as error:  # a CheckpointError if the folder is damaged
    print(type(error).__name__, error)

# %% Interrupted
try:
    raise tg.errors.Interrupted("runs/mlp")  # what fit raises after Ctrl-C, when the last batch has been saved
except tg.errors.Interrupted as stopped:
    print(stopped)

# %% MissingExtraError
error = tg.errors.MissingExtraError('this needs optuna: pip install "threegen[search]"')
assert isinstance(error, tg.errors.ThreegenError)

# %% ResourceError
assert issubclass(tg.errors.ResourceError, tg.errors.ThreegenError)  # more memory or disk is needed than there is

# %% WorkerError
assert issubclass(tg.errors.WorkerError, tg.errors.ThreegenError)  # a process of a distributed run has died
