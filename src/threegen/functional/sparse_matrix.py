"""Products with a matrix most of whose entries are 0, as the pixels of digits: what is 0 is left out.

    X T    = sum over the entries of a row of X of    entry * row of T        up: a layer's total inputs
    X^T D  = sum over the entries of a column of X of entry * row of D        the gradient of its weights

Four of five pixels of a written digit are blank, and a dense product spends as much on them as on the others. Here
four rows (or four columns side by side) of X are taken together: what is not 0 in at least one of them is listed, and
each row of the table that is read serves all four, whose sums stay in registers. Four examples share two fifths of the
pixels of MNIST, four neighbouring pixels are lit in three tenths of the examples.

Tables and results lie by inputs in memory (`functional/layouts.py`). Every element of a result is summed by
one thread in one order: the number of threads does not change it.

Shapes: R rows (examples), N columns (inputs), O outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.functional.vector_kernels import (
    LANES,
    add_four_64,
    add_four_64_masked,
    fetch,
    list_fours,
    which_of_sixteen,
)
from threegen.threads import parallel, ready_numba, serial

numba = ready_numba()

Array = np.ndarray[Any, Any]

MOST = 0.55  # share of the places in the lists of four rows; above, the dense product is as quick
FOUR = 4
BLOCK = 128  # rows of a table at a time: 32 KB of float32, for the first-level cache
AHEAD = 8  # rows of a table that are fetched before they are needed
WIDE = 64  # outputs at a time
LINE = 64  # bytes of a cache line


@serial
def _list_rows(matrix: Array, group: int, at: Array, places: Array, factors: Array) -> int:
    """List where rows 4 group .. 4 group + 3 are not all 0, and what they are there; return how many places these are.

    `at` [groups, blocks + 1] says where in the list each block of columns begins, `places` is [groups, N + 16],
    `factors` [groups, N + 16, 4].
    """
    rows, columns = matrix.shape
    first, last = group * FOUR, min((group + 1) * FOUR, rows)
    many, room = 0, places.shape[1]
    own, kept = places[group], factors[group]
    for block in range(at.shape[1] - 1):
        low, high = block * BLOCK, min((block + 1) * BLOCK, columns)
        at[group, block] = many
        if last - first == FOUR:
            whole = low + (high - low) // LANES * LANES
            many += list_fours(matrix, first * columns, columns, low, whole, places, group * room + many)
            low = whole
        for i in range(low, high):
            used = False
            for r in range(first, last):
                used |= matrix[r, i] != 0
            own[many] = i
            many += used
    at[group, at.shape[1] - 1] = many
    if last - first == FOUR:
        a, b, c, d = matrix[first], matrix[first + 1], matrix[first + 2], matrix[first + 3]
        for p in range(many):
            i, four = own[p], kept[p]
            four[0], four[1], four[2], four[3] = a[i], b[i], c[i], d[i]
    else:
        for p in range(many):
            for r in range(last - first):
                kept[p, r] = matrix[first + r, own[p]]
    return many


@serial
def _list_columns(matrix: Array, strip: int, at: Array, places: Array, factors: Array) -> None:
    """List in which rows columns 16 strip .. 16 strip + 15 are not 0, four columns a list.

    `at` [lists, blocks + 1] says where in a list each block of rows begins, `places` is [lists, R + 1], `factors`
    [lists, R + 1, 4]. Without a branch: a place is overwritten by the next one unless it counts.
    """
    rows, columns = matrix.shape
    first, last, blocks = FOUR * strip, min(FOUR * (strip + 1), len(at)), at.shape[1] - 1
    if (strip + 1) * LANES <= columns:
        w, x, y, z = places[first], places[first + 1], places[first + 2], places[first + 3]
        a, b, c, d = 0, 0, 0, 0
        for block in range(blocks):
            begins = at[first:last, block]
            begins[0], begins[1], begins[2], begins[3] = a, b, c, d
            for r in range(block * BLOCK, min((block + 1) * BLOCK, rows)):
                bits = which_of_sixteen(matrix, r * columns + strip * LANES)
                w[a], x[b], y[c], z[d] = r, r, r, r
                a += (bits & 0x000F) != 0
                b += (bits & 0x00F0) != 0
                c += (bits & 0x0F00) != 0
                d += (bits & 0xF000) != 0
        ends = at[first:last, blocks]
        ends[0], ends[1], ends[2], ends[3] = a, b, c, d
    else:
        for group in range(first, last):
            many = 0
            for block in range(blocks):
                at[group, block] = many
                for r in range(block * BLOCK, min((block + 1) * BLOCK, rows)):
                    used = False
                    for i in range(FOUR * group, min(FOUR * (group + 1), columns)):
                        used |= matrix[r, i] != 0
                    places[group, many] = r
                    many += used
            at[group, blocks] = many
    for group in range(first, last):
        own, kept, low = places[group], factors[group], FOUR * group
        if low + FOUR <= columns:
            for p in range(at[group, blocks]):
                row, four = matrix[own[p]], kept[p]
                four[0], four[1], four[2], four[3] = row[low], row[low + 1], row[low + 2], row[low + 3]
        else:
            for p in range(at[group, blocks]):
                for i in range(FOUR):
                    kept[p, i] = matrix[own[p], low + i] if low + i < columns else 0


@parallel
def _list_both(
    matrix: Array,
    row_at: Array,
    row_places: Array,
    row_factors: Array,
    column_at: Array,
    column_places: Array,
    column_factors: Array,
) -> None:
    """Fill all lists of a matrix [R, N]."""
    groups, strips = len(row_at), (matrix.shape[1] + LANES - 1) // LANES
    for job in numba.prange(groups + strips):
        if job < groups:
            _list_rows(matrix, job, row_at, row_places, row_factors)
        else:
            _list_columns(matrix, job - groups, column_at, column_places, column_factors)


@serial
def _fetch_row(table: Array, row: int, low: int, high: int) -> None:
    if row < len(table):
        for column in range(low, high, LINE // table.itemsize):
            fetch(table, row * table.shape[1] + column)


@serial
def _pack(table: Array, gate: Array, first: int, last: int, low: int, high: int, room: Array) -> None:
    """Copy a piece of `table`, 0 where `gate` is not above 0, to `room`, whose rows lie side by side.

    `gate` is as large as `table`, or empty.
    """
    for i in range(first, last):
        _fetch_row(table, i + AHEAD, low, high)
        row, kept = table[i, low:high], room[i - first]
        if len(gate):
            open_ = gate[i, low:high]
            for j in range(high - low):
                kept[j] = row[j] if open_[j] > 0 else 0
        else:
            for j in range(high - low):
                kept[j] = row[j]


@serial
def _add_sums(room: Array, rows: int, sums: Array) -> None:
    """Add the sums over the rows of `room`, and those of their squares, to `sums` [2, O]."""
    total, squares = sums[0], sums[1]
    for i in range(rows):
        row = room[i]
        for j in range(len(total)):
            total[j] += row[j]
            squares[j] += row[j] * row[j]


@serial
def _add_rows(
    result: Array,
    keep: Any,
    least: Any,
    start: Array,
    room: Array,
    first: int,
    places: Array,
    factors: Array,
    begin: int,
    end: int,
) -> None:
    """result [r, O] <- keep result + start + the listed rows of `room`, at least `least`, for fewer rows than four."""
    for r in range(len(result)):
        total = result[r]
        for j in range(len(total)):
            total[j] = start[j] if keep == 0 else keep * total[j] + start[j]
        for p in range(begin, end):
            row, factor = room[places[p] - first], factors[p, r]
            for j in range(len(total)):
                total[j] += factor * row[j]
        for j in range(len(total)):
            total[j] = least if total[j] < least else total[j]


@serial
def _add_block(
    lists: Any, block: int, groups: Any, packed: Array, columns: Any, numbers: Any, start: Array, result: Array
) -> None:
    """Add the listed rows that lie in one block of the table to columns low..high of `result`, group by group."""
    (at, places, factors), (low, high), (keep, least, offset) = lists, columns, numbers
    (rows, outputs), room, first, width = result.shape, places.shape[1], block * BLOCK, high - low
    begun = offset * outputs + low
    for group in range(*groups):
        begin, end = at[group, block], at[group, block + 1]
        if (group + 1) * FOUR > rows:
            own, new = result[group * FOUR :, low:high], start[offset, low:high]
            _add_rows(own, keep, least, new, packed, first, places[group], factors[group], begin, end)
            continue
        place, begin, end = group * FOUR * outputs + low, group * room + begin, group * room + end
        if width == WIDE:
            add_four_64(
                result, place, outputs, width, keep, least, start, begun, packed, first, places, factors, begin, end
            )
        else:
            add_four_64_masked(
                result, place, outputs, width, keep, least, start, begun, packed, first, places, factors, begin, end
            )


@parallel
def _multiply(
    at: Array,
    places: Array,
    factors: Array,
    table: Array,
    gate: Array,
    keep: Any,
    least: Any,
    start: Array,
    result: Array,
    spans: int,
    sums: Array,
) -> None:
    """result <- keep result + start + the listed rows, four a list, times `table`, but at least `least`.

    `at` is [groups, blocks + 1], `places` [groups, room], `factors` [groups, room, 4], `result` [R, O]; `start` [2, O]
    holds zeros below. The table counts as 0 where `gate`, unless empty, is not above 0. Groups are taken in `spans`
    parts. `sums` [2, O], unless empty, gain the sums over the rows of `table` and of their squares.
    """
    outputs, groups, last = result.shape[1], len(places), at.shape[1] - 2
    one, lowest = table.dtype.type(1), table.dtype.type(-np.inf)
    span = (groups + spans - 1) // spans
    for job in numba.prange((outputs + WIDE - 1) // WIDE * spans):
        low, top = job // spans * WIDE, job % spans * span
        high = min(low + WIDE, outputs)
        memory = np.empty(BLOCK * WIDE + LINE, table.dtype)
        shift = (LINE - memory.ctypes.data % LINE) // memory.itemsize
        packed = memory[shift : shift + BLOCK * WIDE].reshape(BLOCK, WIDE)
        for block in range(last + 1):
            first = block * BLOCK
            _pack(table, gate, first, min(first + BLOCK, len(table)), low, high, packed)
            if len(sums) and top == 0:
                _add_sums(packed[:, : high - low], min(BLOCK, len(table) - first), sums[:, low:high])
            share, offset = (keep, 0) if block == 0 else (one, 1)
            numbers = (share, least if block == last else lowest, offset)
            own = (top, min(top + span, groups))
            _add_block((at, places, factors), block, own, packed, (low, high), numbers, start, result)


class SparseMatrix:
    """The lists of one matrix `[rows, columns]` after another, float32 or float64: `take` fills them."""

    def __init__(self, rows: int, columns: int, dtype: torch.dtype) -> None:
        self.shape, self.dtype = (rows, columns), dtype
        self._by_row = self._room(rows, columns, columns + LANES)
        self._by_column = self._room(columns, rows, rows + 1)
        self._starts: dict[int, Array] = {}

    def _room(self, lines: int, length: int, room: int) -> tuple[Array, Array, Array]:
        groups, blocks = -(-lines // FOUR), -(-length // BLOCK)
        number = np.float32 if self.dtype == torch.float32 else np.float64
        factors = np.empty((groups, room, FOUR), number)
        return np.zeros((groups, blocks + 1), np.int64), np.empty((groups, room), np.int32), factors

    def fits(self, matrix: Tensor) -> bool:
        """Return whether this memory is for matrices such as `matrix`."""
        return matrix.shape == self.shape and matrix.dtype == self.dtype

    def take(self, matrix: Tensor) -> bool:
        """List the entries of a contiguous matrix on the CPU; return False where too many are not 0."""
        array, most = matrix.numpy(), MOST * self.shape[1]
        if _list_rows(array, 0, *self._by_row) > 1.5 * most:  # a look that is cheap
            return False
        _list_both(array, *self._by_row, *self._by_column)
        ends = self._by_row[0][:, -1]
        return int(ends.sum()) <= most * len(ends)

    def times(self, table: Array, result: Array, start: Array | None = None, *, rectify: bool = False) -> None:
        """Fill `result` [R, O] with start + X T, T the `table` [N, O]; with `rectify`, 0 where that is below 0."""
        nothing = self._nothing(result)
        least = 0.0 if rectify else -np.inf
        self._multiply(self._by_row, table, nothing, result, start, (0.0, least), 1, nothing)

    def transposed_times(
        self, table: Array, result: Array, *, keep: float = 0.0, gate: Array | None = None, sums: bool = False
    ) -> Array:
        """Fill `result` [N, O] with keep result + X^T D, D the `table` [R, O].

        D counts as 0 where `gate` [R, O] is not above 0. With `sums`, returns the sums over the rows of D, and those of
        their squares, [2, O]; they cost next to nothing here.
        """
        nothing = self._nothing(result)
        found = np.zeros((2, result.shape[1]), result.dtype) if sums else nothing
        open_ = nothing if gate is None else gate
        self._multiply(self._by_column, table, open_, result, None, (keep, -np.inf), 2, found)
        return found

    @staticmethod
    def _nothing(result: Array) -> Array:
        return np.zeros((0, result.shape[1]), result.dtype)

    def _multiply(
        self,
        lists: tuple[Array, Array, Array],
        table: Array,
        gate: Array,
        result: Array,
        start: Array | None,
        numbers: tuple[float, float],
        spans: int,
        sums: Array,
    ) -> None:
        outputs = result.shape[1]
        starts = self._starts.get(outputs)
        if starts is None:
            starts = self._starts[outputs] = np.zeros((2, outputs), result.dtype)
        starts[0] = 0 if start is None else start
        keep, least = map(result.dtype.type, numbers)
        _multiply(*lists, table, gate, keep, least, starts, result, spans, sums)
