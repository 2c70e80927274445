"""An example for each public name of `tg.datasets`; the first cell belongs to all of them."""

# %% setup
import tempfile
from pathlib import Path

import torch

import threegen as tg

folder = Path(tempfile.mkdtemp())
digits = tg.load_data("mnist").test.inputs[:2]  # [2, 1, 28, 28]
events = tg.datasets.simulate(digits)[0]  # one recording of an event camera, 34 x 34 pixels

# %% load_data
data = tg.datasets.load_data("mnist")
print(data.train.inputs.shape)

# %% Data, Split
data = tg.load_data("mnist")
assert isinstance(data, tg.datasets.Data)
choose = data.holdout(10_000, seed=0)
assert isinstance(choose, tg.datasets.Split)
print(len(choose.train), len(choose.validation))

# %% Dataset
data = tg.datasets.Dataset(torch.rand(6, 4), torch.tensor([0, 1, 2, 0, 1, 2]), classes=("a", "b", "c"), name="mine")
assert len(data.take(3)) == 3

# %% Batch
batch = tg.datasets.Batch(torch.rand(8, 5), torch.arange(8) % 3)  # what a learning rule receives

# %% Distortions
change = tg.datasets.Distortions(shift=2.0)
print(change)  # small random shifts, scales, shears and elastic distortions for training images

# %% mnist_form
ink = torch.zeros(100, 80)
ink[20:80, 35:45] = 1.0  # a drawn one
picture = tg.datasets.mnist_form(ink)
assert picture.shape[-2:] == (28, 28)

# %% mnist_form_of_strokes
picture = tg.datasets.mnist_form_of_strokes([[(10.0, 10.0), (40.0, 10.0), (20.0, 60.0)]])  # a seven, as points of a pen
assert picture.shape[-2:] == (28, 28)

# %% read_text
text = tg.datasets.read_text()  # the story that is part of the package, as numbers for nets that predict characters
print(text)

# %% Events
assert isinstance(events, tg.datasets.Events)
print(len(events), events.height, events.width, events.t[:3])

# %% make_events
two = tg.datasets.make_events([0, 1_000], [3, 4], [5, 5], [1, 0], height=34, width=34)  # times in microseconds
assert len(two) == 2

# %% read_bin, read_events, write_bin
tg.datasets.write_bin(folder / "one.bin", events)
assert len(tg.datasets.read_bin(folder / "one.bin")) == len(events)
assert len(tg.datasets.read_events(folder / "one.bin")) == len(events)  # finds the format by itself

# %% read_aedat2, write_aedat2
tg.datasets.write_aedat2(folder / "one.aedat", events)
again = tg.datasets.read_aedat2(folder / "one.aedat")
assert len(again) == len(events)

# %% cut_gesture, read_aedat3, read_gestures, write_aedat3
tg.datasets.write_aedat3(folder / "user.aedat", events)
(folder / "labels.csv").write_text("class,startTime_usec,endTime_usec\n1,0,100000\n")
recording = tg.datasets.read_aedat3(folder / "user.aedat")
first = tg.datasets.cut_gesture(recording, tg.datasets.read_gestures(folder / "labels.csv")[0])
assert len(first) < len(recording)

# %% crop
assert tg.datasets.crop(events, 5, 5, 20, 20).height == 20

# %% crop_time
assert tg.datasets.crop_time(events, 0, 100_000).t.max() < 100_000

# %% denoise
quiet = tg.datasets.denoise(events, milliseconds=10.0)  # drops events without neighbours
assert len(quiet) <= len(events)

# %% drop
half = tg.datasets.drop(events, 0.5, torch.Generator().manual_seed(0))
assert len(half) < len(events)

# %% flip
mirrored = tg.datasets.flip(events, "time")

# %% jitter
moved = tg.datasets.jitter(events, pixels=1.0, generator=torch.Generator().manual_seed(0))

# %% shrink
small = tg.datasets.shrink(events, 2)
assert small.height == 17

# %% stabilise
still = tg.datasets.stabilise(events)  # takes the camera's motion out

# %% without_hot_pixels
calm = tg.datasets.without_hot_pixels(events, 200.0)  # drops pixels that fire more than 200 times per second

# %% to_frames
frames = tg.datasets.to_frames(events, 10)
assert frames.shape == (10, 2, 34, 34)  # time steps, OFF and ON, rows, columns

# %% to_sliding_frames
frames = tg.datasets.to_sliding_frames(events, window=50.0, stride=25.0)  # in milliseconds

# %% to_time_surface
surfaces = tg.datasets.to_time_surface(events, 10, tau=30.0)

# %% to_voxel_grid
grid = tg.datasets.to_voxel_grid(events, 5)

# %% simulate
recordings = tg.datasets.simulate(digits, seed=0)  # one per image

# %% simulate_data
frames = tg.datasets.simulate_data(tg.load_data("mnist").train.take(20), 10)
assert frames[0][0].shape == (10, 2, 34, 34)

# %% Camera
sharp = tg.datasets.Camera(blur=0.0, on=0.3, off=0.3)
recordings = tg.datasets.simulate(digits, sharp)

# %% Loop, Saccades, Stroke
strokes = [tg.datasets.Stroke(begin=0.0, lasts=100.0, rise=10.0, fall=10.0, dx=3.0, dy=4.0)]
path = tg.datasets.Saccades(strokes, x0=0.0, y0=0.0)  # how N-MNIST's camera moved
square = tg.datasets.Loop(side=10.0)  # how the screen moved for other data sets
print(path, square)

# %% Augmentation
colours = tg.Dataset(torch.rand(6, 3, 16, 16), torch.arange(6) % 2)
changed = tg.datasets.Augmentation(shift=2)(colours)  # shifted, mirrored and recoloured pictures
assert changed.batch(torch.tensor([0, 1])).inputs.shape == (2, 3, 16, 16)

# %% principal_colours
values, vectors = tg.datasets.principal_colours(tg.Dataset(torch.rand(6, 3, 16, 16), torch.arange(6) % 2))
assert values.shape == (3,)

# %% ten_crops
windows = list(tg.datasets.ten_crops(torch.rand(2, 3, 16, 16), 12))
assert len(windows) == 10

# %% TenCrops
model = tg.datasets.TenCrops(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 12 * 12, 10)), 12)
assert model(torch.rand(2, 3, 16, 16)).shape == (2, 10)
