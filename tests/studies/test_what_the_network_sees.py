"""The study of what nets see: its figures, its drawings."""

from __future__ import annotations

from pathlib import Path

from threegen.studies.registry import run_study


def test_what_the_network_sees(tmp_path: Path) -> None:
    result = run_study("what-the-network-sees", quick=True, out=tmp_path)
    found = result["figures"]
    assert found["example net"]["parameters"] == 1_199_882
    assert found["LeNet with relu"]["parameters"] == 61_706
    for facts in found.values():
        assert facts["test accuracy"] > 0.6  # about .7 to .85 after so little training; chance is .1
        assert len(facts["pictures"]) == 8
        row = facts["evidence"]["gradient_x_input"]
        assert row["deletion"] < row["random_deletion"]
        for tally in facts["answers behind the grey square"]:
            assert sum(tally) == 49  # 7 x 7 positions
    assert "example-net.svg" in result["files"]
    assert all((tmp_path / name).stat().st_size > 1000 for name in result["files"])
