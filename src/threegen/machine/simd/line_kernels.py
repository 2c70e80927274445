"""Vector instructions for sums of table rows weighted by lists of numbers (`sparse_matrix.py`).

A table is packed into a cache-resident buffer of `WIDE` columns.

Instructions: masked loads, stores and `vfmadd231ps` on eight registers of sixteen numbers (AVX-512F: Intel from
Skylake-X, AMD from Zen 4).
Written by hand because the compiler writes the 128 sums of a row back to memory after each listed row. On other
processors `sparse.layouts.pays` returns False and torch's dense products run; the code itself is correct there too.

All of this is for kernels: arrays are contiguous, places count through all their dimensions, nothing is checked.
"""

from __future__ import annotations

from typing import Any

from threegen.machine.simd.vector_parts import (
    CODE,
    LANES,
    MASKS,
    NUMBERS,
    WORD,
    begins_of,
    cgutils,
    extending,
    ir,
    pieces_from,
    registers,
    splat,
    types,
)

WIDE = 128  # numbers in a row of a buffer
_VECTORS = WIDE // LANES


def masks_of(builder: Any, width: Any, vectors: int) -> list[Any]:
    """Return which of the numbers of `vectors` vectors are among the first `width`."""
    wide = splat(builder, builder.trunc(width, CODE))
    columns = (ir.Constant(NUMBERS, [LANES * part + lane for lane in range(LANES)]) for part in range(vectors))
    return [builder.icmp_signed("<", column, wide) for column in columns]


def load_some(builder: Any, places: list[Any], masks: list[Any]) -> list[Any]:
    """Return the vectors at `places`, 0 where the masks are not set."""
    vector = places[0].type.pointee
    size = size_of(vector)
    kind = ir.FunctionType(vector, [vector.as_pointer(), CODE, MASKS, vector])
    read = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.v{LANES}f{8 * size}.p0")
    align, nothing = ir.Constant(CODE, size), ir.Constant(vector, None)
    return [builder.call(read, [place, align, mask, nothing]) for place, mask in zip(places, masks, strict=True)]


def _store(builder: Any, values: list[Any], places: list[Any], masks: list[Any]) -> None:
    """Store the numbers of vectors whose masks are set."""
    vector = places[0].type.pointee
    size = size_of(vector)
    kind = ir.FunctionType(ir.VoidType(), [vector, vector.as_pointer(), CODE, MASKS])
    write = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.v{LANES}f{8 * size}.p0")
    for value, place, mask in zip(values, places, masks, strict=True):
        builder.call(write, [value, place, ir.Constant(CODE, size), mask])


def size_of(vector: Any) -> int:
    """Return the bytes of a number of a vector: 8 for float64, 4 otherwise."""
    return 8 if isinstance(vector.element, ir.DoubleType) else 4


@extending.intrinsic  # type: ignore[untyped-decorator]
def copy_line(typing: Any, table: Any, at: Any, width: Any, scale: Any, buffer: Any, to: Any) -> Any:
    """Copy `width` numbers of `table` from `at` on, times `scale`, to `buffer` from `to` on, and 0 after them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers, kept = begins_of(context, builder, signature, arguments, 0, 4)
        factor = splat(builder, arguments[3])
        sources = pieces_from(builder, builder.gep(numbers, [arguments[1]]), _VECTORS)
        read = load_some(builder, sources, masks_of(builder, arguments[2], _VECTORS))
        _keep(builder, [builder.fmul(piece, factor) for piece in read], builder.gep(kept, [arguments[5]]))
        return context.get_dummy_value()

    place = types.intp
    return types.none(table, place, place, table.dtype, buffer, place), generate


def _keep(builder: Any, values: list[Any], begin: Any) -> None:
    """Store vectors contiguously."""
    for number, value in enumerate(values):
        place = builder.gep(begin, [ir.Constant(WORD, LANES * number)])
        builder.store(value, builder.bitcast(place, value.type.as_pointer()), align=size_of(value.type))


@extending.intrinsic  # type: ignore[untyped-decorator]
def copy_turned(
    typing: Any, table: Any, at: Any, stride: Any, rows: Any, columns: Any, scale: Any, buffer: Any, to: Any
) -> Any:
    """Copy sixteen columns of sixteen rows of `table`, times `scale`, as rows to `buffer`.

    The rows begin at places at + r stride. Only the first `columns` numbers of the first `rows` rows are used; the
    others are taken as 0. Column c is stored from place to + WIDE c on. The following sixteen rows are prefetched.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers, kept = begins_of(context, builder, signature, arguments, 0, 6)
        factor = splat(builder, arguments[5])
        inside, nothing = masks_of(builder, arguments[4], 1), ir.Constant(MASKS, None)
        vectors = []
        for r in range(LANES):
            counts = builder.icmp_signed("<", ir.Constant(WORD, r), arguments[3])
            mask = builder.select(counts, inside[0], nothing)
            begin = builder.add(arguments[1], builder.mul(arguments[2], ir.Constant(WORD, r)))
            (read,) = load_some(builder, pieces_from(builder, builder.gep(numbers, [begin]), 1), [mask])
            vectors.append(builder.fmul(read, factor))
            following = builder.add(begin, builder.mul(arguments[2], ir.Constant(WORD, LANES)))
            bring(builder, builder.gep(numbers, [following]))
        for c, column in enumerate(_turned(builder, vectors)):
            place = builder.add(arguments[7], ir.Constant(WORD, WIDE * c))
            _keep(builder, [column], builder.gep(kept, [place]))
        return context.get_dummy_value()

    place = types.intp
    return types.none(table, place, place, place, place, table.dtype, buffer, place), generate


def _turned(builder: Any, rows: list[Any]) -> list[Any]:
    """Return the columns of sixteen vectors: squares of 8, 4, 2 and 1 are swapped across the diagonal."""
    for apart in (8, 4, 2, 1):
        upper = [lane + (LANES - apart if lane & apart else 0) for lane in range(LANES)]
        lower = [lane + (LANES if lane & apart else apart) for lane in range(LANES)]
        masks = [ir.Constant(NUMBERS, lanes) for lanes in (upper, lower)]
        for r in range(LANES):
            if not r & apart:
                pair = rows[r], rows[r + apart]
                rows[r], rows[r + apart] = (builder.shuffle_vector(*pair, mask) for mask in masks)
    return rows


@extending.intrinsic  # type: ignore[untyped-decorator]
def add_line(
    typing: Any,
    result: Any,
    at: Any,
    apart: Any,
    width: Any,
    old: Any,
    keep: Any,
    least: Any,
    start: Any,
    buffer: Any,
    places: Any,
    factors: Any,
    begin: Any,
    end: Any,
) -> Any:
    """Make `width` numbers of `result` from place `at` on a sum over a list; return the sum of their squares.

        keep old[at ...] + start[...] + the rows places[p] of `buffer` times factors[p], p = begin .. end - 1

    but at least `least`. Sums are kept in registers. A `keep` of 0 ignores `old`; otherwise its numbers at the distance
    `apart` are prefetched. `start` holds WIDE numbers.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        totals, olds, starts = begins_of(context, builder, signature, arguments, 0, 4, 7)
        whole = builder.icmp_signed("==", arguments[3], ir.Constant(WORD, WIDE))
        targets = pieces_from(builder, builder.gep(totals, [arguments[1]]), _VECTORS)
        size = size_of(targets[0].type.pointee)
        begun = [builder.load(piece, align=size) for piece in pieces_from(builder, starts, _VECTORS)]
        own = registers(builder, begun)
        with builder.if_then(builder.fcmp_unordered("!=", arguments[5], ir.Constant(arguments[5].type, 0))):
            before = pieces_from(builder, builder.gep(olds, [arguments[1]]), _VECTORS)
            for place in pieces_from(builder, builder.gep(olds, [builder.add(arguments[1], arguments[2])]), _VECTORS):
                bring(builder, place)
            share = splat(builder, arguments[5])
            with builder.if_else(whole) as (all_of_them, some):
                with all_of_them:
                    _take_over(builder, own, [builder.load(place, align=size) for place in before], share)
                with some:
                    _take_over(
                        builder, own, load_some(builder, before, masks_of(builder, arguments[3], _VECTORS)), share
                    )
        lists = begins_of(context, builder, signature, arguments, 8, 9, 10)
        _add_numbers(builder, own, lists, *arguments[11:])
        low = splat(builder, arguments[6])
        sums = [builder.load(total) for total in own]
        found = [builder.select(builder.fcmp_ordered("<", one, low), low, one) for one in sums]
        with builder.if_else(whole) as (all_of_them, some):
            with all_of_them:
                for one, target in zip(found, targets, strict=True):
                    builder.store(one, target, align=size)
            with some:
                _store(builder, found, targets, masks_of(builder, arguments[3], _VECTORS))
        return _square_sum(builder, found)

    place, number = types.intp, result.dtype
    lists = (buffer, places, factors, place, place)
    return number(result, place, place, place, old, number, number, start, *lists), generate


def _take_over(builder: Any, totals: list[Any], before: list[Any], share: Any) -> None:
    """Add a share of the previous values to registers."""
    for total, old in zip(totals, before, strict=True):
        builder.store(builder.fadd(builder.fmul(old, share), builder.load(total)), total)


def _square_sum(builder: Any, vectors: list[Any]) -> Any:
    """Return the sum of the squares of all numbers of some vectors."""
    sums = [builder.fmul(vector, vector) for vector in vectors]
    while len(sums) > 1:
        sums = [builder.fadd(one, other) for one, other in zip(sums[::2], sums[1::2], strict=True)]
    (total,) = sums
    for apart in (8, 4, 2, 1):
        lanes = ir.Constant(NUMBERS, [(lane + apart) % LANES for lane in range(LANES)])
        total = builder.fadd(total, builder.shuffle_vector(total, total, lanes))
    return builder.extract_element(total, ir.Constant(CODE, 0))


def _add_numbers(builder: Any, totals: list[Any], lists: list[Any], begin: Any, end: Any) -> None:
    """Add the listed multiples of rows to registers, in the order of the list."""
    buffer, places, factors = lists
    size = size_of(totals[0].type.pointee)
    with cgutils.for_range_slice(builder, begin, end, ir.Constant(WORD, 1), WORD) as (p, _):
        row = pieces_from(builder, _row(builder, buffer, places, p), _VECTORS)
        factor = splat(builder, builder.load(builder.gep(factors, [p])))
        for total, piece in zip(totals, row, strict=True):
            _add_product(builder, total, builder.load(piece, align=size), factor)


def _row(builder: Any, buffer: Any, places: Any, p: Any) -> Any:
    """Return the start of the p-th listed row."""
    row = builder.sext(builder.load(builder.gep(places, [p])), WORD)
    return builder.gep(buffer, [builder.mul(row, ir.Constant(WORD, WIDE))])


def _add_product(builder: Any, total: Any, piece: Any, factor: Any) -> None:
    """Add a product of two vectors to a register."""
    more = builder.fmul(piece, factor, flags=("contract",))
    builder.store(builder.fadd(builder.load(total), more, flags=("contract",)), total)


def bring(builder: Any, place: Any) -> None:
    """Prefetch the cache line at `place`; an address outside all memory does no harm."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, CODE, CODE, CODE])
    fetching = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    read_soon_data = (ir.Constant(CODE, number) for number in (0, 3, 1))
    builder.call(fetching, [builder.bitcast(place, byte), *read_soon_data])


@extending.intrinsic  # type: ignore[untyped-decorator]
def fetch(typing: Any, array: Any, at: Any) -> Any:
    """Prefetch the cache line that holds place `at` of an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (begin,) = begins_of(context, builder, signature, arguments, 0)
        bring(builder, builder.gep(begin, [arguments[1]]))
        return context.get_dummy_value()

    return types.none(array, types.intp), generate
