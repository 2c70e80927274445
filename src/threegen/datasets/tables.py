"""CSV files of examples: one row is a label, then the pixels or features."""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from threegen.checks import require_number
from threegen.datasets.arrays import ImageShape
from threegen.datasets.dataset import Dataset
from threegen.errors import DataError, NumericError

MAX_FILE_BYTES = 2 << 30


def read_csv(
    path: str | os.PathLike[str],
    *,
    classes: Sequence[str] | int | None = None,
    scale: float | None = None,
    image: ImageShape = None,
    name: str | None = None,
) -> Dataset:
    """Return a data set from a CSV file: each row a label (a whole number from 0), then pixels or features.

    A first row that is not all numbers is taken as a header. Commas, semicolons and tabs separate.
    scale: what the values are divided by. By default values within 0..1 stay and values within 0..255 are divided
    by 255; anything else needs `scale` (1 leaves features as they are).
    image: None makes square rows images `[1, s, s]` and leaves others flat; `(C, H, W)` gives that shape; False
    leaves all rows flat.

    Raises `DataError` naming the line that is wrong, `NumericError` for NaN and infinite values.
    """
    file = Path(path)
    values = _read_numbers(file)
    labels = _to_labels(file, values[:, 0])
    pixels = _scaled(file, values[:, 1:], scale)
    side = math.isqrt(pixels.shape[1])
    if image is None and side > 1 and side * side == pixels.shape[1]:
        image = (1, side, side)
    return Dataset.from_arrays(pixels, labels, classes=classes, name=name or file.stem, image=image)


def _read_numbers(file: Path) -> np.ndarray[Any, Any]:
    try:
        size = file.stat().st_size
        if size > MAX_FILE_BYTES:
            raise DataError(f"{file.name}: {size:,} bytes; at most {MAX_FILE_BYTES:,} are read; split it")
        with file.open(encoding="utf-8-sig", newline="") as opened:
            first = next((line for line in opened if line.strip()), "")
        if not first:
            raise DataError(f"the data set is empty: {file.name} has no rows")
        separator = _separator(first)
        header = not all(_is_number(field) for field in _fields(first, separator))
        with file.open(encoding="utf-8-sig") as opened:
            if header:
                while not next(opened).strip():
                    pass
            return _parse(file, opened, separator)
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name} is not a text file in UTF-8; save it as CSV UTF-8") from error
    except OSError as error:
        raise DataError(f"{file.name}: cannot read {file}: {error.strerror or error}") from error


def _parse(file: Path, lines: Any, separator: str) -> np.ndarray[Any, Any]:
    rows = (line.replace('"', "") for line in lines if line.strip())
    # numpy warns where it finds no rows: look first.
    first = list(islice(rows, 1))
    if not first:
        raise DataError(f"the data set is empty: {file.name} has a header but no rows")
    columns = len(_fields(first[0], separator))
    if columns < 2:
        raise DataError(f"{file.name}: found one column; expected a label and at least one pixel, separated by commas")
    try:
        values = np.loadtxt(_chain(first, rows), delimiter=separator, dtype=np.float32, ndmin=2, comments=None)
    except ValueError as error:
        raise _first_mistake(file, separator, columns, error) from error
    return values


def _chain(first: list[str], rows: Any) -> Any:
    yield from first
    yield from rows


def _separator(line: str) -> str:
    return max(",;\t", key=line.count)


def _fields(line: str, separator: str) -> list[str]:
    return next(csv.reader([line.strip("\r\n")], delimiter=separator), [])


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _first_mistake(file: Path, separator: str, columns: int, error: ValueError) -> DataError:
    """Walk through the file once more, slowly, to say which line is wrong."""
    started = False
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            fields = _fields(line.replace('"', ""), separator)
            bad = next((place for place, field in enumerate(fields, start=1) if not _is_number(field)), None)
            header, started = not started and bad is not None, True
            if header:
                continue
            if len(fields) != columns:
                return DataError(f"{file.name}, line {number}: {len(fields)} columns; expected {columns}; mend the row")
            if bad is not None:
                found = fields[bad - 1].strip()[:20]
                return DataError(f"{file.name}, line {number}, column {bad}: {found!r} is not a number; mend the row")
    return DataError(f"{file.name}: {re.sub(r'; use .*', '', str(error))[:200]}")


def _to_labels(file: Path, column: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    wrong = np.flatnonzero(~(np.isfinite(column) & (column == np.floor(column)) & (np.abs(column) < 2**24)))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{file.name}: label {column[row]:g} in row {row + 1} is not a whole number; the first column holds labels"
        )
    return column.astype(np.int64)


def _scaled(file: Path, values: np.ndarray[Any, Any], scale: float | None) -> np.ndarray[Any, Any]:
    if scale is not None:
        return values / np.float32(require_number("scale", scale, above=0))
    if not np.isfinite(values).all():
        row, column = (int(place) for place in np.argwhere(~np.isfinite(values))[0])
        raise NumericError(
            f"{file.name} has non-finite values, first in row {row + 1}, column {column + 2}; clean the data before use"
        )
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return values
    if low >= 0 and high <= 255:
        return values / np.float32(255)
    raise DataError(
        f"{file.name} holds values {low:g}..{high:g}; expected pixels 0..255 or values 0..1; "
        "give scale= to divide by (scale=1 leaves them as they are)"
    )
