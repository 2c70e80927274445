"""Lists of the nonzero entries of a matrix, by rows and by columns, for products that skip the zeros.

Shapes: R rows, N columns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from threegen.machine.compiler import parallel, ready_numba, serial
from threegen.machine.simd.list_kernels import count_line, enter_line, list_numbers
from threegen.machine.simd.vector_parts import LANES

numba = ready_numba()

Array = np.ndarray[Any, Any]

LOOK = 4  # rows that are checked before all are listed


class Lists(NamedTuple):
    """The entries of many lines, in blocks of places: those of line l in block b are listed from begin[b, l] on.

    Lists are stored one after the other, so that a step touches little memory.
    """

    begin: Array  # [blocks, lines], counted through all blocks
    many: Array  # [blocks, lines], their number
    places: Array  # [blocks, size] int32, relative to the start of the block
    factors: Array  # [blocks, size], the entries

    @staticmethod
    def empty(lines: int, length: int, deep: int, kind: Any) -> Lists:
        """Return empty lists for `lines` lines of `length` places, in blocks of `deep`."""
        blocks = -(-length // deep)
        begin, many = (np.zeros((blocks, lines), np.int64) for _ in range(2))
        size = (blocks, lines * min(length, deep) + LANES)
        return Lists(begin, many, np.empty(size, np.int32), np.empty(size, kind))


@parallel
def list_rows(matrix: Array, most: Any, deep: int, begin: Array, many: Array, places: Array, factors: Array) -> int:
    """List the entries of each row of a matrix [R, N], in blocks of `deep` columns; return their number.

    Nothing is listed if the share of nonzero entries in the first rows exceeds 1.5 times `most`: a cheap early check.
    """
    rows, columns = matrix.shape
    look, seen, total = matrix[:LOOK], 0, 0
    if most < 1:
        for r in range(len(look)):
            for i in range(columns):
                seen += look[r, i] != 0
        if seen > 1.5 * most * look.size:
            return matrix.size
    for block in numba.prange(len(begin)):
        low, high = block * deep, min((block + 1) * deep, columns)
        at = block * places.shape[1]
        for r in range(rows):
            found = list_numbers(matrix, r * columns + low, high - low, places, factors, at)
            begin[block, r], many[block, r] = at, found
            at += found
        total += at - block * places.shape[1]
    return total


@serial
def _count(begin: Array, many: Array, places: Array, block: int, above: int, deep: int, counts: Array) -> None:
    """Add to counts[b, i] the number of entries that column i of one block has in block b of rows."""
    for r in range(begin.shape[1]):
        first = begin[block, r]
        at = (above + r) // deep * counts.shape[1] + block * deep
        count_line(places, first, first + many[block, r], counts, at)


@serial
def _enter(lists: Any, block: int, above: int, deep: int, now: Array, places: Array, factors: Array) -> None:
    """Enter the entries of the rows in one block of columns at now[b, i], which advances."""
    begin, many, row_places, row_factors = lists
    for r in range(begin.shape[1]):
        b, row = (above + r) // deep, (above + r) % deep
        first, start = begin[block, r], b * now.shape[1] + block * deep
        enter_line(row_places, row_factors, first, first + many[block, r], row, now, start, places, factors)


@parallel
def list_columns(
    upper_begin: Array,
    upper_many: Array,
    upper_places: Array,
    upper_factors: Array,
    lower_begin: Array,
    lower_many: Array,
    lower_places: Array,
    lower_factors: Array,
    begin: Array,
    many: Array,
    places: Array,
    factors: Array,
    deep: int,
) -> None:
    """List the entries of each column of two matrices, one above the other, in blocks of `deep` rows and columns."""
    (blocks, columns), below = begin.shape, upper_begin.shape[1]
    upper = upper_begin, upper_many, upper_places, upper_factors
    lower = lower_begin, lower_many, lower_places, lower_factors
    for block in numba.prange(len(upper_begin)):
        first, last = block * deep, min((block + 1) * deep, columns)
        many[:, first:last] = 0
        _count(upper_begin, upper_many, upper_places, block, 0, deep, many)
        _count(lower_begin, lower_many, lower_places, block, below, deep, many)
        for b in range(blocks):
            at = b * places.shape[1] + first * ((places.shape[1] - LANES) // columns)
            for i in range(first, last):
                begin[b, i] = at
                at += many[b, i]
        _enter(upper, block, 0, deep, begin, places, factors)
        _enter(lower, block, below, deep, begin, places, factors)
        begin[:, first:last] -= many[:, first:last]
