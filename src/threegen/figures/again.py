"""Reproduce every figure that takes only minutes with a seed that is not in its record: `make figures`.

A figure holds if the new value is within three standard deviations of the record's mean, or within .1 of it, whichever
is more. The deviation of few seeds is uncertain: by chance alone about one record of three seeds in eight is missed,
and one of five seeds in twenty. Values are stored in `runs/figures`, one file per figure: an interrupted run continues.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from threegen.errors import ThreegenError
from threegen.figures.reproduce import read_record, reproduce_figure, shipped_records
from threegen.tables import text_table
from threegen.training.persistence.files import make_folder, write_whole

NEAR = 0.1  # points (nats, per cent): variation by chance and by another machine


def made_again(
    folder: str | Path | None = None,
    kept: str | Path = "runs/figures",
    *,
    minutes: float = 10.0,
    names: Sequence[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Run each figure of `folder` with one other seed; yield a row of `figure, record, seed, again, holds` for each.

    Args:
        folder: the records; those that are shipped with the package by default.
        kept: the folder of values from earlier runs; they are not computed again.
        minutes: figures whose record says that a seed takes longer are left out.
        names: only these figures; None means all.

    A figure that cannot be run has the reason in `again`, and `holds` is None.
    """
    make_folder(Path(kept))
    for path in sorted(Path(folder or shipped_records()).glob("*.json")):
        record = read_record(path)
        each = record["minutes"] / len(record["seeds"])
        if each > minutes or (names is not None and record["name"] not in names):
            continue
        seed = max(record["seeds"]) + 1
        place = Path(kept) / f"{record['name']}-{seed}.json"
        row = {"figure": record["name"], "record": record["mean"], "seed": seed}
        try:
            value = _value(record["name"], seed, place)
        except ThreegenError as problem:
            yield {**row, "again": str(problem), "holds": None}
            continue
        yield {**row, "again": value, "holds": holds(record, value)}


def holds(record: Mapping[str, Any], value: float) -> bool:
    """Return whether a value is within three standard deviations of a record's mean, or within .1 of it."""
    return abs(value - float(record["mean"])) <= max(3 * (float(record["deviation"] or 0.0)), NEAR)


def _value(name: str, seed: int, place: Path) -> float:
    if place.is_file():
        return float(json.loads(place.read_bytes())["value"])
    made = cast(dict[str, Any], reproduce_figure(name, seeds=[seed]))  # never None for a seed outside the record
    value = float(made["ours"][0])
    write_whole(place, json.dumps({"name": name, "seed": seed, "value": value}) + "\n")
    return value


def main(names: Sequence[str]) -> int:
    """Print the table, and a line to standard error for each finished figure; return 1 if one does not hold."""
    rows = []
    for row in made_again(names=names or None):
        sys.stderr.write(f"{row['figure']}: {row['record']} in the record, {row['again']} by seed {row['seed']}\n")
        rows.append(row)
    lines = [["figure", "record", "seed", "again", "holds"]]
    lines += [[str(row[field]) for field in lines[0]] for row in rows]
    sys.stdout.write(text_table(lines, right={1, 2}, total=False) + "\n")
    return int(any(row["holds"] is False for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
