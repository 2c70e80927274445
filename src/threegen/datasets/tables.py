"""Tables of examples: CSV files and `.npz` archives of arrays.

The structure of a CSV file (separator, quotes, header, number of columns) is detected by Python's `csv` module, its
numbers are parsed by `numpy.loadtxt`, which is faster by hundreds of thousands of numbers per second. No further
package is needed.
"""

from __future__ import annotations

import csv
import logging
import math
import os
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from threegen.checks import did_you_mean, require_number
from threegen.datasets.arrays import ImageShape
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, DataError, NumericError

MAX_FILE_BYTES = 2 << 30
LABEL_NAMES = ("label", "labels", "class", "target", "y")
INDEX_NAMES = ("", "index", "unnamed: 0")
IMAGES = ("x", "images", "inputs", "data", "features")
LABELS = ("y", "labels", "targets", "target", "label")

Array = np.ndarray[Any, Any]
Label = str | int | None
log = logging.getLogger("threegen.data")


@dataclass(frozen=True)
class Table:
    """The content of a file: values `[N, ...]` unscaled, labels (whole numbers or texts) and the file's name."""

    file: str
    values: Array
    labels: Array
    label: str
    left_out: str = ""

    @property
    def texts(self) -> bool:
        """Whether the labels are texts."""
        return bool(self.labels.dtype.kind == "U")

    def sentence(self, divisor: float) -> str:
        """Return one line that describes what was read."""
        columns = math.prod(self.values.shape[1:])
        scale = "values as they are" if divisor == 1 else f"values divided by {divisor:g}"
        return f"{self.file}: {len(self.values):,} rows, {columns:,} columns, {self.label}, {scale}{self.left_out}"


def read_csv(
    path: str | os.PathLike[str],
    *,
    label: Label = None,
    classes: Sequence[str] | int | None = None,
    scale: float | None = None,
    image: ImageShape = None,
    name: str | None = None,
) -> Dataset:
    """Read a CSV file: each row a label and pixels or features.

    Args:
        path: separators are commas, semicolons or tabs; quotes and blank lines are allowed.
        label: the label's column, by its name in the header or its position from 0 (-1 is the last). None takes the
            column that the header calls label, labels, class, target or y, else the first.
        classes: names, or how many. Labels may be whole numbers from 0 or texts, whose classes are in
            alphabetical order if no names are given.
        scale: the number that the values are divided by. None keeps values within 0..1, divides values within 0..255 by
            255, and raises for others (1 keeps features as they are).
        image: None turns rows of a square number of values into images `[1, s, s]` and leaves others flat; `(C, H, W)`
            gives that shape; False leaves all rows flat.
        name: of the data set; by default the file's.

    The first row is the header if it has texts where the second has numbers, or only texts. A column of row numbers 0,
    1, 2, ... that pandas writes first (without a name, or without a header) is left out. One line at level INFO of the
    logger "threegen.data" says what was read.

    Raises `DataError` naming the wrong line, `NumericError` for NaN and infinite values.
    """
    table = read_table(path, label=label)
    return to_dataset(table, scale_of([table], scale), classes=classes, image=image, name=name)


def read_table(path: str | os.PathLike[str], *, label: Label = None) -> Table:
    """Read a CSV file without scaling it; arguments and errors as in `read_csv`."""
    file = Path(path)
    try:
        size = file.stat().st_size
        if size > MAX_FILE_BYTES:
            raise DataError(f"{file.name}: {size:,} bytes; at most {MAX_FILE_BYTES:,} are read; split it")
        layout = _look(file)
        return _read(file, layout, label)
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name} is not a text file in UTF-8; save it as CSV UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{file.name} is not a CSV file: {error}") from error
    except OSError as error:
        raise DataError(f"{file.name}: cannot read {file}: {error.strerror or error}") from error


def scale_of(tables: Sequence[Table], scale: float | None) -> float:
    """Return the divisor of the values of all `tables`: one number for all parts of a data set.

    Raises `NumericError` for values that are not finite, `DataError` for values that need `scale`.
    """
    if scale is not None:
        return require_number("scale", scale, above=0)
    low, high = 0.0, 0.0
    for table in tables:
        if not np.isfinite(table.values).all():
            row, column = (int(place) for place in np.argwhere(~np.isfinite(table.values))[0][:2])
            raise NumericError(
                f"{table.file} has non-finite values, first in row {row + 1}, value {column + 1}; "
                "clean the data before use"
            )
        low, high = min(low, float(table.values.min())), max(high, float(table.values.max()))
    if low < 0 or high > 255:
        raise DataError(
            f"{tables[0].file} holds values {low:g}..{high:g}; expected pixels 0..255 or values 0..1; "
            "give scale= to divide by (scale=1 leaves them as they are)"
        )
    return 255.0 if high > 1 else 1.0


def to_dataset(
    table: Table,
    divisor: float,
    *,
    classes: Sequence[str] | int | None = None,
    image: ImageShape = None,
    name: str | None = None,
) -> Dataset:
    """Return a data set of a table whose values are divided by `divisor`; see `read_csv`."""
    values = table.values if divisor == 1 else table.values / np.float32(divisor)
    side = math.isqrt(values.shape[1])
    if image is None and values.ndim == 2 and side > 1 and side * side == values.shape[1]:
        image = (1, side, side)
    labels = table.labels
    if table.texts:
        classes = class_names([table]) if classes is None or isinstance(classes, int) else list(classes)
        unknown = sorted(set(labels.tolist()) - set(classes))
        if unknown:
            raise DataError(f"{table.file}: no class is called {unknown[0]!r}; the classes are {', '.join(classes)}")
        labels = np.array([classes.index(text) for text in labels.tolist()], np.int64)
    log.info("%s", table.sentence(divisor))
    return Dataset.from_arrays(values, labels, classes=classes, name=name or Path(table.file).stem, image=image)


def class_names(tables: Sequence[Table]) -> list[str]:
    """Return the texts that label the rows of all `tables`, in alphabetical order."""
    return sorted({str(text) for table in tables for text in table.labels.tolist()})


@dataclass(frozen=True)
class _Layout:
    separator: str
    header: list[str] | None
    columns: int
    first: list[str]


def _look(file: Path) -> _Layout:
    """Return the structure of a file from its first rows."""
    with file.open(encoding="utf-8-sig", newline="") as opened:
        line = next((line for line in opened if line.strip()), "")
        if not line:
            raise DataError(f"the data set is empty: {file.name} has no rows")
        separator = max(",;\t", key=line.count)
        opened.seek(0)
        rows = _rows(opened, separator)
        first, second = next(rows, None), next(rows, None)
    if first is None:
        raise DataError(f"the data set is empty: {file.name} has no rows")
    header = _is_header(first, second)
    if header and second is None:
        raise DataError(f"the data set is empty: {file.name} has a header but no rows")
    example = second if header and second is not None else first
    if len(example) < 2:
        raise DataError(f"{file.name}: found one column; expected a label and at least one pixel, separated by commas")
    return _Layout(separator, first if header else None, len(example), example)


def _rows(opened: TextIO, separator: str) -> Any:
    """Yield the rows of a file as stripped fields; blank lines are left out."""
    for row in csv.reader(opened, delimiter=separator, skipinitialspace=True):
        fields = [field.strip().lstrip("\ufeff") for field in row]
        if any(fields) or len(fields) > 1:
            yield fields


def _is_header(first: list[str], second: list[str] | None) -> bool:
    texts = [bool(field) and not _is_number(field) for field in first]
    if second is None:
        return all(texts)
    if first[0] == "" and len(first) > 1 and second[0] == "0":
        return True  # pandas gives the column of row numbers no name
    if all(_is_number(field) or not field for field in first):
        return False
    turned = any(text and field and _is_number(field) for text, field in zip(texts, second, strict=False))
    return turned or (all(text or not field for text, field in zip(texts, first, strict=True)) and len(first) > 1)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _read(file: Path, layout: _Layout, label: Label) -> Table:
    place, known = _label_column(file, layout, label)
    texts = not _is_number(layout.first[place]) and layout.first[place] != ""
    columns = [column for column in range(layout.columns) if not (texts and column == place)]
    values = _parse(file, layout, columns)
    labels: Array = np.array(_texts(file, layout, place)) if texts else values[:, place]
    kept = [n for n, column in enumerate(columns) if column != place]
    left_out = ""
    if 0 in columns and (not known or place != 0) and _counts_rows(layout, values[:, 0]):
        left_out = ", column 0 counts the rows and is left out"
        kept = [n for n in kept if n != 0]
        if place == 0:  # not chosen explicitly: the label is the next column
            place = 1
            labels, kept = values[:, 1], [n for n in kept if n != 1]
    if not kept:
        raise DataError(f"{file.name}: found no column besides the label; expected a label and at least one pixel")
    if not texts:
        labels = _to_labels(file, labels, place)
    said = f"label column {place}" + (f" ({layout.header[place]!r})" if layout.header is not None else "")
    said += f" of {len(set(labels.tolist()))} texts" if texts else ""
    return Table(file.name, np.ascontiguousarray(values[:, kept]), labels, said, left_out)


def _label_column(file: Path, layout: _Layout, label: Label) -> tuple[int, bool]:
    """Return the label's column and whether the user or the header named it."""
    names = [name.lower() for name in layout.header] if layout.header is not None else []
    if label is None:
        found = [n for n, name in enumerate(names) if name in LABEL_NAMES]
        return (found[0], True) if len(found) == 1 else (0, False)
    if isinstance(label, str) and label.lower() in names:
        return names.index(label.lower()), True
    try:
        place = int(label)
    except ValueError as problem:
        there = ", ".join(names[:20]) if names else "no header"
        raise ConfigError(
            f"{file.name} has no column called {label!r}; it has {there}{did_you_mean(label, names)}"
        ) from problem
    if not -layout.columns <= place < layout.columns:
        raise ConfigError(f"{file.name} has the columns 0..{layout.columns - 1}, label= is {place}")
    return place % layout.columns, True


def _counts_rows(layout: _Layout, column: Array) -> bool:
    """Return whether the first column is the row number that pandas writes: 0, 1, 2, ... without a name."""
    if layout.header is not None and layout.header[0].lower() not in INDEX_NAMES:
        return False
    least = 2 if layout.header is not None else 10  # without a header the first rows may be of classes 0, 1, 2
    return layout.columns > 2 and len(column) >= least and bool((column == np.arange(len(column))).all())


def _parse(file: Path, layout: _Layout, columns: list[int]) -> Array:
    """Return the numbers of some columns, float32 `[N, C]`; raises `DataError` that names the first mistake."""
    with file.open(encoding="utf-8-sig", newline="") as opened:
        if layout.header is not None:
            next(_rows(opened, layout.separator))
        lines = (line for line in opened if line.strip())
        options: dict[str, Any] = {"delimiter": layout.separator, "dtype": np.float32, "ndmin": 2, "comments": None}
        try:
            values = np.loadtxt(lines, quotechar='"', usecols=columns, **options)
        except ValueError as error:
            raise _first_mistake(file, layout, columns, error) from error
    if any(len(row) != layout.columns for row in _last_rows(file, layout)):
        raise _first_mistake(file, layout, columns, ValueError("rows of different lengths"))
    return values


def _last_rows(file: Path, layout: _Layout) -> Any:
    """Yield all rows: numpy reads only the chosen columns and would not notice additional ones."""
    with file.open(encoding="utf-8-sig", newline="") as opened:
        yield from _rows(opened, layout.separator)


def _texts(file: Path, layout: _Layout, place: int) -> list[str]:
    found: list[str] = []
    for number, row in enumerate(_last_rows(file, layout)):
        if number == 0 and layout.header is not None:
            continue
        if len(row) <= place or not row[place]:
            raise DataError(f"{file.name}, row {number + 1}: the label is missing; correct the row")
        found.append(row[place])
    return found


def _first_mistake(file: Path, layout: _Layout, columns: list[int], error: ValueError) -> DataError:
    """Read the file once more, slowly, to find the wrong line."""
    with file.open(encoding="utf-8-sig", newline="") as opened:
        reader = csv.reader(opened, delimiter=layout.separator, skipinitialspace=True)
        header = layout.header is not None
        for row in reader:
            fields = [field.strip() for field in row]
            if not any(fields) and len(fields) < 2:
                continue
            if header:
                header = False
                continue
            where = f"{file.name}, line {reader.line_num}"
            if len(fields) != layout.columns:
                return DataError(f"{where}: {len(fields)} columns; expected {layout.columns}; correct the row")
            bad = next((column for column in columns if not _is_number(fields[column])), None)
            if bad is not None:
                found = fields[bad][:20]
                return DataError(f"{where}, column {bad + 1}: {found!r} is not a number; correct the row")
    return DataError(f"{file.name}: {re.sub(r'; use .*', '', str(error))[:200]}")


def _to_labels(file: Path, column: Array, place: int) -> Array:
    wrong = np.flatnonzero(~(np.isfinite(column) & (column == np.floor(column)) & (np.abs(column) < 2**24)))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{file.name}: label {column[row]:g} in row {row + 1} is not a whole number; column {place} holds labels; "
            "give label= to choose another"
        )
    return column.astype(np.int64)


def read_npz(path: str | os.PathLike[str]) -> tuple[Table, Table | None]:
    """Read a `.npz` of arrays: x and y, or x_train, y_train, x_test and y_test; return a training and a test table.

    x may also be called images, inputs, data or features, y labels or targets; the test table is None without x_test.
    Raises `DataError` for a damaged file, other names or arrays of objects.
    """
    file = Path(path)
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name.lower(): archive[name] for name in archive.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise DataError(f"{file.name} is not a complete .npz of arrays of numbers: {error}") from error
    train = _pair(file, arrays, "_train") or _pair(file, arrays, "")
    if train is None:
        raise DataError(
            f"{file.name} holds {', '.join(arrays) or 'nothing'}; expected x and y, or x_train, y_train, x_test, y_test"
        )
    return train, _pair(file, arrays, "_test")


def _pair(file: Path, arrays: dict[str, Array], part: str) -> Table | None:
    x = next((arrays[name + part] for name in IMAGES if name + part in arrays), None)
    y = next((arrays[name + part] for name in LABELS if name + part in arrays), None)
    if x is None or y is None:
        return None
    if x.dtype.kind not in "buif" or x.ndim < 2 or y.ndim != 1 or len(x) != len(y) or not len(x):
        raise DataError(
            f"{file.name}: expected numbers [N, ...] and labels [N], found {x.dtype} {list(x.shape)} and "
            f"{y.dtype} {list(y.shape)}"
        )
    if y.dtype.kind not in "U":
        y = _to_labels(file, y.astype(np.float64), 0)
    return Table(file.name, x.astype(np.float32), y, f"labels in {'y' + part!r}")
