"""The lessons: each runs, keeps to its form, opens as a notebook, and its last exercise knows right from wrong.

The solutions below were worked out by hand; each lesson compares them with what it computes.
"""

from __future__ import annotations

import re
from pathlib import Path

import jupytext
import pytest
import torch

LESSONS = sorted((Path(__file__).parents[2] / "lessons").glob("[0-9]*.py"))
SOLUTIONS = {
    "01_tensors": 14,  # ones among the first 100 labels of MNIST
    "02_operations": 128 * 784 * 512,
    "03_batches": 600,
    "04_gradient": 12,  # 3 x^2 at 2
    "05_perceptron": 14,
    "06_xor": 4,
    "07_sigmoid_neuron": 0.25,
    "08_two_layers": 784 * 50 + 50 + 50 * 10 + 10,
    "09_back_propagation": 0,  # probabilities and the one-hot label both sum to one
    "10_optimizers": 10,  # 1 / (1 - .9)
    "11_initial_values": 0.2,  # sqrt(2 / 50)
    "12_batch_normalisation": 200,
    "13_overfitting": 1 / 0.6,
    "14_search": 0.0376,  # sqrt(.83 * .17 / 100)
    "15_recurrent": 4 * (28 * 64 + 64 * 64 + 2 * 64),
    "16_convolution": 16,  # (32 + 4 - 5) / 2 + 1, rounded down
    "17_lenet_5": 156,
    "18_looking_inside": 10,
    "19_rbm": 784 * 100 + 784 + 100,
    "20_dreams": 84_000,
    "21_spiking_neuron": 3,  # .6, .9, 1.05
    "22_encoders": 10,
    "23_surrogate_gradient": 0.125,
    "24_stdp": 0.1353,  # exp(-2)
    "25_conversion": 3,  # floor(.5 + 5 * .6)
    "26_cost": 26 * 26 * 9 * 8,
    "27_events": 6,  # ln 5 / .25, rounded down
}
LONGEST = 80
FIXED = "answer = None  # write your number here\n"


def test_every_lesson_has_a_solution() -> None:
    assert [path.stem for path in LESSONS] == sorted(SOLUTIONS)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_form(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < LONGEST
    assert text.startswith("# %% [markdown]\n# # ")
    assert int(path.stem[:2]) == int(re.search(r"# # (\d+)\. ", text)[1])  # type: ignore[index]
    assert "**Question.**" in text
    exercises = text.partition("## Exercises")[2]
    assert [f"# {number}. " in exercises for number in (1, 2, 3, 4)] == [True, True, True, False]
    assert "This one checks itself" in exercises
    assert text.count(FIXED) == 1


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_it_opens_as_a_notebook(path: Path) -> None:
    notebook = jupytext.read(path)
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds[0] == "markdown"
    assert kinds.count("code") >= 2
    assert jupytext.writes(notebook, "py:percent").count("# %%") == path.read_text().count("# %%")


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_it_runs_and_checks_the_answer(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = torch.get_rng_state()
    solved = path.read_text().replace(FIXED, f"answer = {SOLUTIONS[path.stem]!r}\n")
    scope: dict[str, object] = {"__name__": "__main__"}
    try:
        exec(compile(solved, str(path), "exec"), scope)
    finally:
        torch.set_rng_state(before)
    assert capsys.readouterr().out.splitlines()[-1] == "right"
    assert not scope["right"](SOLUTIONS[path.stem] + 1)  # type: ignore[operator]
