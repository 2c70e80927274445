"""The rows of MNIST as a sequence of 28 steps, read by an LSTM; the Elman net has its own file."""

from __future__ import annotations

from threegen.datasets.load import load_data
from threegen.figures.reproduce import Figure
from threegen.randomness import make_generator
from threegen.registry.entry import find_entry
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit


def read_rows(name: str, seed: int, progress: bool = False) -> float:
    """Train the registry's `name` by its full plan on all 60,000 images; return its test accuracy in per cent."""
    data, entry = load_data("mnist"), find_entry(name)
    plan = entry.plan("full")
    model = entry.build(data.shape, len(data.classes), make_generator(seed, "weights", name))
    fit(
        model,
        entry.rule(),
        data.train,
        optimizer=plan.optimizer,
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        schedule=plan.schedule,
        seed=seed,
        progress=progress,
        title=f"{name}, seed {seed}",
    )
    return 100 * evaluate(model, data.test).accuracy


def train_lstm(seed: int, progress: bool = False) -> float:
    """Return the LSTM's test accuracy in per cent."""
    return read_rows("lstm-rows", seed, progress)


FIGURE = Figure(
    name="rnn-mnist-rows",
    paper="Hochreiter and Schmidhuber, Long short-term memory, Neural Computation 9 (1997), for the cell; the rows of "
    "MNIST are an exercise of many courses, with this figure as its goal",
    published=98.5,
    unit="per cent test accuracy",
    better="higher",
    make=train_lstm,
    seeds=(0, 1, 2, 3, 4),
    differs="no paper gives these settings: the figure is the goal of an exercise",
    note="128 units, 28 steps of 28 pixels. Rate and epochs were chosen on 10,000 training images held out. The test "
    "split is read once per seed, by the last weights.",
)
