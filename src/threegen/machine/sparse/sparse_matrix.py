"""Products with a matrix that is mostly 0, such as the pixels of digits: zeros are skipped.

    X T    = sum over the entries of a row of X of    entry * row of T        up: a layer's total inputs
    X^T D  = sum over the entries of a column of X of entry * row of D        the gradient of its weights

Four of five pixels of a written digit are blank, but a dense product spends the same time on them as on the others.
Here the nonzero entries of X are listed, row by row and column by column. A block of the table's rows, 128 columns
wide, is packed into a cache-resident buffer that all lists of the block use; the sums of a line stay in registers.

Tables and results are stored input-major (`machine/sparse/layouts.py`). Every element of a result is summed by
one thread in one order: the number of threads does not change it.

Shapes: R rows (examples), N columns (inputs), O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.machine.compiler import parallel, ready_numba, serial
from threegen.machine.simd.line_kernels import WIDE, add_line, copy_line, copy_turned, fetch
from threegen.machine.simd.vector_parts import LANES
from threegen.machine.sparse.sparse_lists import Lists, list_columns, list_rows

numba = ready_numba()

Array = np.ndarray[Any, Any]

MOST = 0.42  # share of nonzero entries; above it, the dense product is as fast
MOST_TURNED = 0.36  # the same if the table must be transposed
BLOCK = 128  # rows of a table at a time
AHEAD = 8  # rows of a table that are prefetched
LINE = 64  # bytes of a cache line


@serial
def _fetch_row(table: Array, row: int, low: int, high: int) -> None:
    if row < len(table):
        for column in range(low, high, LINE // table.itemsize):
            fetch(table, row * table.shape[1] + column)


@serial
def _pack(tables: Any, gate: Array, first: int, last: int, low: int, high: int, buffer: Array) -> None:
    """Copy a piece of a table to `buffer`, whose rows are contiguous.

    `tables` are the table and what it is multiplied by, and the same for another one whose rows follow. The first
    counts as 0 where `gate`, which is as large or empty, is not above 0.
    """
    table, scale, below, below_scale = tables
    rows, columns = table.shape
    for i in range(first, last):
        at, to = i * columns + low, (i - first) * WIDE
        if i >= rows:
            copy_line(below, at - table.size, high - low, below_scale, buffer, to)
            continue
        _fetch_row(table, i + AHEAD, low, high)
        if len(gate):
            row, kept, open_ = table[i, low:high], buffer[i - first], gate[i, low:high]
            for j in range(high - low):
                kept[j] = scale * row[j] if open_[j] > 0 else 0
        else:
            copy_line(table, at, high - low, scale, buffer, to)


@serial
def _pack_turned(table: Array, scale: Any, first: int, last: int, low: int, high: int, buffer: Array) -> None:
    """As `_pack` with a piece of `table` [O, N] transposed: its columns first .. last are rows of `buffer`."""
    stride = table.shape[1]
    for j in range(low, high, LANES):
        for i in range(first, last, LANES):
            rows, columns, to = min(LANES, high - j), min(LANES, last - i), (i - first) * WIDE + j - low
            copy_turned(table, j * stride + i, stride, rows, columns, scale, buffer, to)


@serial
def _add_sums(buffer: Array, rows: int, total: Array) -> None:
    """Add the sums over the rows of `buffer` to `total` [O]."""
    for i in range(rows):
        row = buffer[i]
        for j in range(len(total)):
            total[j] += row[j]


@serial
def _add_block(
    lists: Any,
    block: int,
    lines: Any,
    buffer: Array,
    columns: Any,
    numbers: Any,
    old: Array,
    start: Array,
    result: Array,
) -> Any:
    """Add the listed rows in one block of the table to columns low..high of `result`, line by line.

    Returns the sum of the squares of the new values of these columns.
    """
    (begin, many, places, factors), (low, high), (keep, least) = lists, columns, numbers
    outputs, squares = result.shape[1], result.dtype.type(0)
    for line in range(*lines):
        where = line * outputs + low, outputs, high - low
        first = begin[block, line]
        end = first + many[block, line]
        squares += add_line(result, *where, old, keep, least, start, buffer, places, factors, first, end)
    return squares


@parallel
def _multiply(
    begin: Array,
    many: Array,
    places: Array,
    factors: Array,
    table: Array,
    turned: bool,
    scale: Any,
    below: Array,
    below_scale: Any,
    gate: Array,
    old: Array,
    keep: Any,
    start: Array,
    least: Any,
    result: Array,
    spans: int,
    sums: Array,
) -> Any:
    """result <- keep old + start + scale times the listed rows of `table`, but at least `least`.

    `result` and `old` are [lines, O], `start` is [O] or empty. `table` is [N, O], or [O, N] if `turned`; it
    counts as 0 where `gate`, unless empty, is not above 0. The rows of `below`, times `below_scale`, follow those of
    the table. Lines are taken in `spans` parts. `sums` [O], unless empty, gain the sums over the scaled rows.
    Returns the sum of the squares of the result.
    """
    (lines, outputs), last = result.shape, len(many) - 1
    inputs = table.shape[1] if turned else len(table) + len(below)
    squares = 0.0
    one, lowest = table.dtype.type(1), table.dtype.type(-np.inf)
    span = (lines + spans - 1) // spans
    for job in numba.prange((outputs + WIDE - 1) // WIDE * spans):
        low, top = job // spans * WIDE, job % spans * span
        high = min(low + WIDE, outputs)
        size = (min(BLOCK, inputs) + LANES - 1) // LANES * LANES  # `_pack_turned` fills sixteen rows at a time
        memory = np.empty(size * WIDE + LINE, table.dtype)
        shift = (LINE - memory.ctypes.data % LINE) // memory.itemsize
        buffer = memory[shift : shift + size * WIDE].reshape(size, WIDE)
        own, begun = (top, min(top + span, lines)), np.zeros(WIDE, table.dtype)
        for block in range(last + 1):
            first = block * BLOCK
            end = min(first + BLOCK, inputs)
            if turned:
                _pack_turned(table, scale, first, end, low, high, buffer)
            else:
                _pack((table, scale, below, below_scale), gate, first, end, low, high, buffer)
            if len(sums) and top == 0:
                _add_sums(buffer[:, : high - low], end - first, sums[low:high])
            for j in range(high - low):
                begun[j] = start[low + j] if block == 0 and len(start) else 0
            numbers, columns = (keep if block == 0 else one, least if block == last else lowest), (low, high)
            before = old if block == 0 else result
            added = _add_block(
                (begin, many, places, factors), block, own, buffer, columns, numbers, before, begun, result
            )
            if block == last:
                squares += added
    return squares


def _weigh(
    lists: Lists,
    table: Array,
    result: Array,
    *,
    turned: bool = False,
    scale: float = 1.0,
    below: tuple[Array, float] | None = None,
    gate: Array | None = None,
    old: Array | None = None,
    keep: float = 0.0,
    start: Array | None = None,
    least: float = -np.inf,
    spans: int = 1,
    sums: Array | None = None,
) -> float:
    """Run `_multiply` with neutral defaults for arguments that are not given; `old` is the result."""
    number = result.dtype.type
    nothing = np.zeros((0, result.shape[1]), result.dtype)
    second, second_scale = (nothing, 0.0) if below is None else below
    tables = (table, turned, number(scale), second, number(second_scale), nothing if gate is None else gate)
    none = nothing.reshape(-1)
    before = (result if old is None else old, number(keep), none if start is None else start, number(least))
    found: float = _multiply(*lists, *tables, *before, result, spans, none if sums is None else sums)
    return found


class SparseMatrix:
    """The lists of one matrix `[rows, columns]` after another, float32 or float64: `take` fills them."""

    def __init__(self, shape: Sequence[int], dtype: torch.dtype) -> None:
        rows, columns = self.shape = tuple(shape)
        self.dtype = dtype
        self.lists = Lists.empty(rows, columns, BLOCK, np.float32 if dtype == torch.float32 else np.float64)
        self._alone: Stack | None = None

    def fits(self, matrix: Tensor) -> bool:
        """Return whether this memory is for matrices such as `matrix`."""
        return matrix.shape == self.shape and matrix.dtype == self.dtype

    def take(self, matrix: Tensor, most: float = MOST) -> bool:
        """List the entries of a contiguous matrix on the CPU; return False if more than `most` (a share) are not 0."""
        return bool(list_rows(matrix.numpy(), most, BLOCK, *self.lists) <= most * matrix.numel())

    def times(
        self, table: Array, result: Array, start: Array | None = None, *, rectify: bool = False, turned: bool = False
    ) -> None:
        """Fill `result` [R, O] with start + X T, T the `table` [N, O]; with `rectify`, 0 where that is below 0.

        With `turned` the table is given as [O, N].
        """
        least = 0.0 if rectify else -np.inf
        _weigh(self.lists, table, result, turned=turned, start=start, least=least)

    def transposed_times(self, table: Array, result: Array, **options: Any) -> tuple[Array, float]:
        """Fill `result` [N, O] with X^T D, D the `table` [R, O], as `Stack` does."""
        if self._alone is None:
            self._alone = Stack(self)
        return self._alone.transposed_times(table, result, **options)


class Stack:
    """One or two matrices X of as many columns, one above the other, whose rows are listed."""

    def __init__(self, upper: SparseMatrix, lower: SparseMatrix | None = None) -> None:
        columns, number = upper.shape[1], upper.lists.factors.dtype
        below = Lists.empty(0, columns, BLOCK, number) if lower is None else lower.lists
        self._parts = (*upper.lists, *below)
        rows = upper.shape[0] + (0 if lower is None else lower.shape[0])
        self._lists = Lists.empty(columns, rows, BLOCK, number)

    def transposed_times(
        self,
        table: Array,
        result: Array,
        *,
        scale: float = 1.0,
        below: tuple[Array, float] | None = None,
        keep: float = 0.0,
        old: Array | None = None,
        gate: Array | None = None,
        sums: bool = False,
    ) -> tuple[Array, float]:
        """Fill `result` [N, O] with keep old + X^T D; `old` is the result unless given.

        D [R, O] is the `table` times `scale`; its last rows may be in another array, `below`, with their own scale. It
        counts as 0 where `gate` [R, O] is not above 0. Returns the sums over the rows of D [O], with `sums`, and the
        sum of the squares of the result: their cost is negligible here.
        """
        list_columns(*self._parts, *self._lists, BLOCK)
        found = np.zeros(result.shape[1] if sums else 0, result.dtype)
        options: dict[str, Any] = {"scale": scale, "below": below, "keep": keep, "old": old, "gate": gate}
        return found, _weigh(self._lists, table, result, spans=2, sums=found, **options)
