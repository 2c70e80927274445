"""The rows of the textbook studies: each takes its number from the figures that the study really returns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from threegen.figures.reproduce import all_figures
from threegen.studies.figures import CONCLUSIONS, FIGURES, Conclusion
from threegen.studies.registry import study_names

RECORDS = Path(__file__).parents[2] / "reproduction"


@pytest.mark.parametrize("row", CONCLUSIONS, ids=lambda row: row.name)
def test_a_row_belongs_to_a_study_and_has_a_record(row: Conclusion) -> None:
    assert row.name in study_names()
    assert all_figures()[f"study-{row.name}"] in FIGURES
    record = json.loads((RECORDS / f"study-{row.name}.json").read_text())
    assert record["seeds"] == list(row.seeds)
    sign = 1 if row.better == "higher" else -1
    if row.published is None and row.better == "higher":
        assert sign * record["mean"] > 0, "the record must show what the text concludes"


def test_the_quick_rows_are_measured_by_the_study() -> None:
    """The two that take a second: a deterministic one, and one with a published value."""
    rows = {row.name: row for row in CONCLUSIONS}
    assert rows["optimizers-on-a-valley"].measured(0, False) == 18.0
    fading = rows["activations"].measured(0, False)
    assert fading == pytest.approx(json.loads((RECORDS / "study-activations.json").read_text())["ours"][0], abs=1e-3)
