"""Vector instructions that list the entries of a matrix, row by row and then column by column (`sparse_lists.py`).

Instruction: `vpcompressd`/`vcompressps`, packing in a register (AVX-512F: Intel from Skylake-X, AMD from Zen 4).
Written by hand because the loop "if not 0, append" has a branch per number and is never vectorised. On other processors
`sparse.layouts.pays` returns False and torch's dense products run; the code itself is correct there too.

All of this is for kernels: arrays are contiguous, places count through all their dimensions, nothing is checked.
"""

from __future__ import annotations

from typing import Any

from threegen.machine.processor import has_wide_vectors, knows
from threegen.machine.simd.line_kernels import load_some, masks_of, size_of
from threegen.machine.simd.vector_parts import (
    CODE,
    LANES,
    MASKS,
    NUMBERS,
    STEPS,
    WORD,
    begins_of,
    cgutils,
    count_bits,
    extending,
    ir,
    packer,
    splat,
    types,
)


@extending.intrinsic  # type: ignore[untyped-decorator]
def list_numbers(typing: Any, source: Any, start: Any, count: Any, places: Any, factors: Any, at: Any) -> Any:
    """List which of `count` numbers of `source` from place `start` on are not 0; return their number.

    Their indices, ascending and relative to `start`, are stored in `places` (int32) and their values in `factors`, both
    from place `at` on, with space for `count` and sixteen more.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers, listed, kept = begins_of(context, builder, signature, arguments, 0, 3, 4)
        vector = ir.VectorType(numbers.type.pointee, LANES)
        found_at = cgutils.alloca_once_value(builder, arguments[5])
        whole = ir.Constant(WORD, LANES)
        with cgutils.for_range_slice(builder, ir.Constant(WORD, 0), arguments[2], whole, WORD) as (first, _):
            begin = builder.gep(numbers, [builder.add(arguments[1], first)])
            inside = masks_of(builder, builder.sub(arguments[2], first), 1)
            (read,) = load_some(builder, [builder.bitcast(begin, vector.as_pointer())], inside)
            mask = builder.fcmp_unordered("!=", read, ir.Constant(vector, None))
            now = builder.load(found_at)
            found = builder.add(splat(builder, builder.trunc(first, CODE)), STEPS)
            _pack(builder, found, builder.gep(listed, [now]), mask)
            _pack(builder, read, builder.gep(kept, [now]), mask)
            builder.store(builder.add(now, count_bits(builder, mask)), found_at)
        return builder.sub(builder.load(found_at), arguments[5])

    place = types.intp
    return place(source, place, place, places, factors, place), generate


def _pack(builder: Any, vector: Any, place: Any, mask: Any) -> None:
    """Store the numbers of a vector that a mask selects contiguously, and arbitrary values after them."""
    kind = vector.type
    name = "f" if kind != NUMBERS else "i"
    if size_of(kind) == 8 or not (has_wide_vectors() and knows("avx512f")):
        builder.call(packer(builder, kind, f"{name}{8 * size_of(kind)}"), [vector, place, mask])
        return
    # in a register, then all sixteen at once: half the time of the instruction that compresses into memory
    packing = ir.FunctionType(kind, [kind, kind, MASKS])
    pack = cgutils.get_or_insert_function(builder.module, packing, f"llvm.x86.avx512.mask.compress.v{LANES}{name}32")
    packed = builder.call(pack, [vector, ir.Constant(kind, None), mask])
    builder.store(packed, builder.bitcast(place, kind.as_pointer()), align=4)


@extending.intrinsic  # type: ignore[untyped-decorator]
def count_line(typing: Any, places: Any, begin: Any, end: Any, counts: Any, first: Any) -> Any:
    """Add one to counts[first + places[p]] (int64) for each of p = begin .. end - 1."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        listed, counters = begins_of(context, builder, signature, arguments, 0, 3)
        one, start = ir.Constant(WORD, 1), builder.gep(counters, [arguments[4]])
        with cgutils.for_range_slice(builder, arguments[1], arguments[2], one, WORD) as (p, _):
            counter = builder.gep(start, [builder.sext(builder.load(builder.gep(listed, [p])), WORD)])
            builder.store(builder.add(builder.load(counter), one), counter)
        return context.get_dummy_value()

    place = types.intp
    return types.none(places, place, place, counts, place), generate


@extending.intrinsic  # type: ignore[untyped-decorator]
def enter_line(
    typing: Any,
    places: Any,
    factors: Any,
    begin: Any,
    end: Any,
    row: Any,
    now: Any,
    first: Any,
    row_places: Any,
    row_factors: Any,
) -> Any:
    """Enter the entries p = begin .. end - 1 of a list by rows in lists by columns.

    Entry p goes to place now[first + places[p]] (int64), which is then incremented, of `row_places`, which get `row`
    (int32), and of `row_factors`, which get factors[p].
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        listed, found, counters, own, kept = begins_of(context, builder, signature, arguments, 0, 1, 5, 7, 8)
        one, number = ir.Constant(WORD, 1), builder.trunc(arguments[4], CODE)
        start = builder.gep(counters, [arguments[6]])
        with cgutils.for_range_slice(builder, arguments[2], arguments[3], one, WORD) as (p, _):
            counter = builder.gep(start, [builder.sext(builder.load(builder.gep(listed, [p])), WORD)])
            at = builder.load(counter)
            builder.store(number, builder.gep(own, [at]))
            builder.store(builder.load(builder.gep(found, [p])), builder.gep(kept, [at]))
            builder.store(builder.add(at, one), counter)
        return context.get_dummy_value()

    place = types.intp
    return types.none(places, factors, place, place, place, now, place, row_places, row_factors), generate
