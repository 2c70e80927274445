"""The study of the deep belief net beside the SVM, in its quick form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from threegen.studies.entries import dbn_against_svm
from threegen.studies.registry import run_study


def test_layers_that_saw_images_without_labels_need_fewer(tmp_path: Path) -> None:
    """Salakhutdinov and Hinton 2009 and many since: with few labels a pre-trained net is ahead of a random start."""
    result = run_study("dbn-against-svm", quick=True, out=tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == result
    assert result["files"] == ["errors.png", "errors.svg"]
    few, more = result["figures"]["100 labels"], result["figures"]["500 labels"]
    assert (few["labels"], more["labels"]) == (100, 500)
    assert few[dbn_against_svm.BELIEF] > few[dbn_against_svm.RANDOM]
    assert all(0.6 < few[way] < more[way] < 0.97 for way in dbn_against_svm.WAYS)


def test_the_machine_is_scikit_learns() -> None:
    """Two images a class, far apart: an SVM has them by heart, whatever its settings."""
    from threegen.datasets.load import load_data
    from threegen.randomness import make_generator
    from threegen.studies.tools import balanced

    few = balanced(load_data("mnist").train.take(2000), 20, make_generator("few"))
    assert dbn_against_svm.support_vectors(few, few) == pytest.approx(1.0)
