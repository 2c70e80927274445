"""Vector instructions for loops in which the compiler would process numbers one by one, or spill sums to memory.

Instructions: `vaddps`/`vfmadd` on registers of sixteen float32 numbers, and `vpcompressd`, which packs the numbers
selected by a mask (AVX-512F: Intel from Skylake-X, AMD from Zen 4).
Written by hand because LLVM cannot know that the two arrays do not overlap, so it adds number by number (four times the
cost), and it keeps no sums in registers over a loop of listed rows. On other processors the same code runs; LLVM splits
the vectors into two of AVX2 or four of SSE or NEON, and packs by branches.
"""

from __future__ import annotations

from typing import Any

from threegen.machine.simd.vector_parts import (
    CODE,
    NUMBERS,
    STEPS,
    WORD,
    begins_of,
    cgutils,
    count_bits,
    extending,
    ir,
    packer,
    pieces_from,
    registers,
    splat,
    types,
)
from threegen.machine.simd.vector_parts import (
    LANES as LANES,
)


@extending.intrinsic  # type: ignore[untyped-decorator]
def add_sixteen(typing: Any, total: Any, at: Any, row: Any, start: Any) -> Any:
    """Add the sixteen numbers of `row` from place `start` on to those of `total` from place `at` on.

    For kernels only. Both arrays are contiguous and of the same type of floating-point numbers; places count through
    all their dimensions and are not checked. The compiler must assume that they may overlap, so that a plain loop over
    the sixteen is compiled number by number, at four times the cost.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = context.get_data_type(signature.args[0].dtype)
        vector, size = ir.VectorType(kind, LANES), context.get_abi_sizeof(kind)
        places = []
        for number in (0, 2):
            array = context.make_array(signature.args[number])(context, builder, arguments[number])
            place = builder.gep(array.data, [arguments[number + 1]])
            places.append(builder.bitcast(place, vector.as_pointer()))
        mine, more = (builder.load(place, align=size) for place in places)
        builder.store(builder.fadd(mine, more), places[0], align=size)
        return context.get_dummy_value()

    return types.none(total, types.intp, row, types.intp), generate


def _adder(vectors: int) -> Any:
    """Return a function for kernels that adds rows to a piece of `vectors` times sixteen numbers, kept in registers.

        add(result, at, source, first, stride, codes, start, stop)

    adds to result[at ...] the numbers of `source` from first + row stride on, or subtracts them, for each of codes[p],
    p from `start` to `stop`: row c is added where c >= 0, row ~c is subtracted where c < 0. `result` and `source` are
    contiguous arrays of one type of floating-point numbers, `codes` are int32; places count through all dimensions and
    are not checked. Rows are added in the order of the list.
    """

    @extending.intrinsic  # type: ignore[untyped-decorator]
    def add(
        typing: Any, result: Any, at: Any, source: Any, first: Any, stride: Any, codes: Any, start: Any, stop: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = context.get_data_type(signature.args[0].dtype)
            size = context.get_abi_sizeof(kind)
            totals, rows, listed = begins_of(context, builder, signature, arguments, 0, 2, 5)
            targets = pieces_from(builder, builder.gep(totals, [arguments[1]]), vectors)
            sums = registers(builder, [builder.load(target, align=size) for target in targets])
            with cgutils.for_range_slice(builder, arguments[6], arguments[7], ir.Constant(WORD, 1), WORD) as (p, _):
                code = builder.load(builder.gep(listed, [p]))
                negative = builder.ashr(code, ir.Constant(CODE, 31))  # all bits or none
                row = builder.sext(builder.xor(code, negative), WORD)
                sign = builder.sitofp(builder.or_(negative, ir.Constant(CODE, 1)), kind)
                signs = splat(builder, sign)
                begin = builder.gep(rows, [builder.add(builder.mul(row, arguments[4]), arguments[3])])
                for own, piece in zip(sums, pieces_from(builder, begin, vectors), strict=True):
                    signed = builder.fmul(builder.load(piece, align=size), signs, flags=("contract",))
                    builder.store(builder.fadd(builder.load(own), signed, flags=("contract",)), own)
            for own, target in zip(sums, targets, strict=True):
                builder.store(builder.load(own), target, align=size)
            return context.get_dummy_value()

        place = types.intp
        return types.none(result, place, source, place, place, codes, place, place), generate

    return add


add_16, add_32, add_64, add_128 = (_adder(vectors) for vectors in (1, 2, 4, 8))


def _weighted_adder(vectors: int) -> Any:
    """As `_adder`, for rows that are multiplied by numbers:

        add(result, at, source, first, stride, codes, times, start, stop)

    adds times[p] source[first + codes[p] stride ...] for p from `start` to `stop`; codes are not negative. Product and
    sum may be one instruction, rounded once.
    """

    @extending.intrinsic  # type: ignore[untyped-decorator]
    def add(
        typing: Any,
        result: Any,
        at: Any,
        source: Any,
        first: Any,
        stride: Any,
        codes: Any,
        times: Any,
        start: Any,
        stop: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            size = context.get_abi_sizeof(context.get_data_type(signature.args[0].dtype))
            totals, rows, listed, factors = begins_of(context, builder, signature, arguments, 0, 2, 5, 6)
            targets = pieces_from(builder, builder.gep(totals, [arguments[1]]), vectors)
            sums = registers(builder, [builder.load(target, align=size) for target in targets])
            with cgutils.for_range_slice(builder, arguments[7], arguments[8], ir.Constant(WORD, 1), WORD) as (p, _):
                row = builder.sext(builder.load(builder.gep(listed, [p])), WORD)
                factor = splat(builder, builder.load(builder.gep(factors, [p])))
                begin = builder.gep(rows, [builder.add(builder.mul(row, arguments[4]), arguments[3])])
                for own, piece in zip(sums, pieces_from(builder, begin, vectors), strict=True):
                    scaled = builder.fmul(builder.load(piece, align=size), factor, flags=("contract",))
                    builder.store(builder.fadd(builder.load(own), scaled, flags=("contract",)), own)
            for own, target in zip(sums, targets, strict=True):
                builder.store(builder.load(own), target, align=size)
            return context.get_dummy_value()

        place = types.intp
        return types.none(result, place, source, place, place, codes, times, place, place), generate

    return add


weigh_16, weigh_32, weigh_64, weigh_160 = (_weighted_adder(vectors) for vectors in (1, 2, 4, 10))


@extending.intrinsic  # type: ignore[untyped-decorator]
def list_sixteens(typing: Any, source: Any, start: Any, count: Any, places: Any) -> Any:
    """List in `places` which of `count` bytes of `source` from place `start` on are not 0; return their number.

    For kernels only. `count` is a multiple of sixteen; `source` (uint8) and `places` (int32, `count` + 16 of
    them at least) are contiguous, and nothing is checked. The listed numbers are ascending and relative to `start`.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bytes_, listed = begins_of(context, builder, signature, arguments, 0, 3)
        letters = ir.VectorType(ir.IntType(8), LANES)
        pack = packer(builder, NUMBERS, "i32")
        at = cgutils.alloca_once_value(builder, ir.Constant(WORD, 0))
        whole = ir.Constant(WORD, LANES)
        with cgutils.for_range_slice(builder, ir.Constant(WORD, 0), arguments[2], whole, WORD) as (first, _):
            begin = builder.gep(bytes_, [builder.add(arguments[1], first)])
            read = builder.load(builder.bitcast(begin, letters.as_pointer()), align=1)
            mask = builder.icmp_unsigned("!=", read, ir.Constant(letters, None))
            now = builder.load(at)
            found = builder.add(splat(builder, builder.trunc(first, CODE)), STEPS)
            builder.call(pack, [found, builder.gep(listed, [now]), mask])
            builder.store(builder.add(now, count_bits(builder, mask)), at)
        return builder.load(at)

    place = types.intp
    return place(source, place, place, places), generate
