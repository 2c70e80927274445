"""Vector instructions where the compiler would take numbers one by one, or carry sums to memory and back."""

from __future__ import annotations

import importlib
from typing import Any

from threegen.threads import ready_numba

ready_numba()
_extending: Any = importlib.import_module("numba.extending")
_types: Any = importlib.import_module("numba.core.types")
_cgutils: Any = importlib.import_module("numba.core.cgutils")
_ir: Any = importlib.import_module("llvmlite.ir")

LANES = 16
_CODE, _WORD = _ir.IntType(32), _ir.IntType(64)
_NUMBERS, _MASKS = _ir.VectorType(_CODE, LANES), _ir.VectorType(_ir.IntType(1), LANES)
_STEPS = _ir.Constant(_NUMBERS, list(range(LANES)))


def _arrays(context: Any, builder: Any, signature: Any, arguments: Any, *numbers: int) -> list[Any]:
    """Return where the arrays among the arguments begin."""
    return [context.make_array(signature.args[number])(context, builder, arguments[number]).data for number in numbers]


def _splat(builder: Any, value: Any) -> Any:
    """Return a vector of sixteen times the same value."""
    nothing = _ir.Constant(_ir.VectorType(value.type, LANES), _ir.Undefined)
    first = builder.insert_element(nothing, value, _ir.Constant(_CODE, 0))
    return builder.shuffle_vector(first, nothing, _ir.Constant(_NUMBERS, None))


def _pieces(builder: Any, begin: Any, vectors: int) -> list[Any]:
    """Return where the first, second, ... sixteen numbers from `begin` on lie."""
    vector = _ir.VectorType(begin.type.pointee, LANES).as_pointer()
    ends = (builder.gep(begin, [_ir.Constant(_WORD, LANES * number)]) for number in range(vectors))
    return [builder.bitcast(end, vector) for end in ends]


def _registers(builder: Any, values: list[Any]) -> list[Any]:
    """Return places that hold `values`; the compiler makes registers of them."""
    places = [_cgutils.alloca_once(builder, value.type) for value in values]
    for place, value in zip(places, values, strict=True):
        builder.store(value, place)
    return places


@_extending.intrinsic  # type: ignore[untyped-decorator]
def add_sixteen(typing: Any, total: Any, at: Any, row: Any, start: Any) -> Any:
    """Add the sixteen numbers of `row` from place `start` on to those of `total` from place `at` on.

    For kernels only. Both arrays are contiguous and of the same type of floating-point numbers; places count through
    all their dimensions and are not checked. The two may lie in the same memory for all that the compiler knows, so a
    loop over the sixteen is compiled number by number, at four times the cost.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = context.get_data_type(signature.args[0].dtype)
        vector, size = _ir.VectorType(kind, LANES), context.get_abi_sizeof(kind)
        places = []
        for number in (0, 2):
            array = context.make_array(signature.args[number])(context, builder, arguments[number])
            place = builder.gep(array.data, [arguments[number + 1]])
            places.append(builder.bitcast(place, vector.as_pointer()))
        mine, more = (builder.load(place, align=size) for place in places)
        builder.store(builder.fadd(mine, more), places[0], align=size)
        return context.get_dummy_value()

    return _types.none(total, _types.intp, row, _types.intp), generate


def _adder(vectors: int) -> Any:
    """Return a function for kernels that adds rows to a piece of `vectors` times sixteen numbers, kept in registers.

        add(result, at, source, first, stride, codes, start, stop)

    adds to result[at ...] the numbers of `source` from first + row stride on, or subtracts them, for each of codes[p],
    p from `start` to `stop`: row c is added where c >= 0, row ~c is subtracted where c < 0. `result` and `source` are
    contiguous arrays of one type of floating-point numbers, `codes` are int32; places count through all dimensions and
    are not checked. Rows are added in the order of the list.
    """

    @_extending.intrinsic  # type: ignore[untyped-decorator]
    def add(
        typing: Any, result: Any, at: Any, source: Any, first: Any, stride: Any, codes: Any, start: Any, stop: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = context.get_data_type(signature.args[0].dtype)
            size = context.get_abi_sizeof(kind)
            totals, rows, listed = _arrays(context, builder, signature, arguments, 0, 2, 5)
            targets = _pieces(builder, builder.gep(totals, [arguments[1]]), vectors)
            sums = _registers(builder, [builder.load(target, align=size) for target in targets])
            with _cgutils.for_range_slice(builder, arguments[6], arguments[7], _ir.Constant(_WORD, 1), _WORD) as (p, _):
                code = builder.load(builder.gep(listed, [p]))
                negative = builder.ashr(code, _ir.Constant(_CODE, 31))  # all bits or none
                row = builder.sext(builder.xor(code, negative), _WORD)
                sign = builder.sitofp(builder.or_(negative, _ir.Constant(_CODE, 1)), kind)
                signs = _splat(builder, sign)
                begin = builder.gep(rows, [builder.add(builder.mul(row, arguments[4]), arguments[3])])
                for own, piece in zip(sums, _pieces(builder, begin, vectors), strict=True):
                    signed = builder.fmul(builder.load(piece, align=size), signs, flags=("contract",))
                    builder.store(builder.fadd(builder.load(own), signed, flags=("contract",)), own)
            for own, target in zip(sums, targets, strict=True):
                builder.store(builder.load(own), target, align=size)
            return context.get_dummy_value()

        place = _types.intp
        return _types.none(result, place, source, place, place, codes, place, place), generate

    return add


add_16, add_32, add_64, add_128 = (_adder(vectors) for vectors in (1, 2, 4, 8))


def _packer(builder: Any, vector: Any, suffix: str) -> Any:
    """Return the instruction that stores the numbers of a vector that a mask names side by side."""
    kind = _ir.FunctionType(_ir.VoidType(), [vector, vector.element.as_pointer(), _MASKS])
    return _cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.compressstore.v{LANES}{suffix}")


def _count(builder: Any, mask: Any) -> Any:
    """Return how many of sixteen bits are set, as a word."""
    return builder.zext(builder.ctpop(builder.bitcast(mask, _ir.IntType(LANES))), _WORD)


@_extending.intrinsic  # type: ignore[untyped-decorator]
def list_sixteens(typing: Any, source: Any, start: Any, count: Any, places: Any) -> Any:
    """List which of `count` bytes of `source` from place `start` on are not 0, in `places`; return how many there are.

    For kernels only. `count` is a multiple of sixteen; `source` (uint8) and `places` (int32, with room for `count` and
    sixteen more) are contiguous, and nothing is checked. The numbers rise and count from `start`.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bytes_, listed = _arrays(context, builder, signature, arguments, 0, 3)
        letters = _ir.VectorType(_ir.IntType(8), LANES)
        pack = _packer(builder, _NUMBERS, "i32")
        at = _cgutils.alloca_once_value(builder, _ir.Constant(_WORD, 0))
        whole = _ir.Constant(_WORD, LANES)
        with _cgutils.for_range_slice(builder, _ir.Constant(_WORD, 0), arguments[2], whole, _WORD) as (first, _):
            begin = builder.gep(bytes_, [builder.add(arguments[1], first)])
            read = builder.load(builder.bitcast(begin, letters.as_pointer()), align=1)
            mask = builder.icmp_unsigned("!=", read, _ir.Constant(letters, None))
            now = builder.load(at)
            found = builder.add(_splat(builder, builder.trunc(first, _CODE)), _STEPS)
            builder.call(pack, [found, builder.gep(listed, [now]), mask])
            builder.store(builder.add(now, _count(builder, mask)), at)
        return builder.load(at)

    place = _types.intp
    return place(source, place, place, places), generate


@_extending.intrinsic  # type: ignore[untyped-decorator]
def list_fours(typing: Any, source: Any, start: Any, stride: Any, low: Any, high: Any, places: Any, at: Any) -> Any:
    """List at which places from `low` to `high` four rows of numbers are not all 0, from places[at] on.

    For kernels only. The rows begin at places start + r stride of `source`, r = 0 .. 3. `places` (int32) have room for
    sixteen more, high - low is a multiple of sixteen, arrays are contiguous, and nothing is checked. Returns how many.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers, listed = _arrays(context, builder, signature, arguments, 0, 5)
        pack = _packer(builder, _NUMBERS, "i32")
        now_at = _cgutils.alloca_once_value(builder, arguments[6])
        whole = _ir.Constant(_WORD, LANES)
        with _cgutils.for_range_slice(builder, arguments[3], arguments[4], whole, _WORD) as (first, _):
            masks = []
            for r in range(4):
                begin = builder.add(arguments[1], builder.mul(arguments[2], _ir.Constant(_WORD, r)))
                masks.append(_not_zero(builder, builder.gep(numbers, [builder.add(begin, first)])))
            mask = builder.or_(builder.or_(masks[0], masks[1]), builder.or_(masks[2], masks[3]))
            now = builder.load(now_at)
            found = builder.add(_splat(builder, builder.trunc(first, _CODE)), _STEPS)
            builder.call(pack, [found, builder.gep(listed, [now]), mask])
            builder.store(builder.add(now, _count(builder, mask)), now_at)
        return builder.sub(builder.load(now_at), arguments[6])

    place = _types.intp
    return place(source, place, place, place, place, places, place), generate


@_extending.intrinsic  # type: ignore[untyped-decorator]
def which_of_sixteen(typing: Any, source: Any, start: Any) -> Any:
    """Return which of the sixteen numbers of `source` from place `start` on are not 0, a bit each; for kernels."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (numbers,) = _arrays(context, builder, signature, arguments, 0)
        mask = _not_zero(builder, builder.gep(numbers, [arguments[1]]))
        return builder.zext(builder.bitcast(mask, _ir.IntType(LANES)), _WORD)

    return _types.intp(source, _types.intp), generate


def _not_zero(builder: Any, begin: Any) -> Any:
    """Return which of the sixteen numbers from `begin` on are not 0, as a mask."""
    vector = _ir.VectorType(begin.type.pointee, LANES)
    read = builder.load(builder.bitcast(begin, vector.as_pointer()), align=4)
    return builder.fcmp_unordered("!=", read, _ir.Constant(vector, None))


def _tile_adder(vectors: int, *, masked: bool) -> Any:
    """Return a function for kernels that adds multiples of rows to four pieces of `vectors` times sixteen numbers.

        add(result, at, apart, width, keep, least, start, start_at, source, first, places, factors, begin, end)

    For r = 0 .. 3 the piece result[at + r apart ...] becomes keep times itself, plus start[start_at ...], plus row
    places[p] - first of `source` times factors[4 p + r] for p = begin .. end - 1, in this order, but at least `least`.
    A `keep` of 0 forgets what was there. Rows of `source` are as long as the pieces. The sums are kept in registers;
    the four pieces that follow are fetched. Arrays are contiguous, `places` are int32, nothing is checked. With
    `masked` only the first `width` numbers of the pieces are touched.
    """

    @_extending.intrinsic  # type: ignore[untyped-decorator]
    def add(
        typing: Any,
        result: Any,
        at: Any,
        apart: Any,
        width: Any,
        keep: Any,
        least: Any,
        start: Any,
        start_at: Any,
        source: Any,
        first: Any,
        places: Any,
        factors: Any,
        begin: Any,
        end: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            totals, starts, table, listed, factor = _arrays(context, builder, signature, arguments, 0, 6, 8, 10, 11)
            load, store = _moves(context, builder, signature.args[0].dtype, vectors, arguments[3] if masked else None)
            targets, next_ones = _four_rows(builder, totals, arguments[1], arguments[2], vectors)
            for place in next_ones:
                _fetch(builder, place)
            begins = load(_pieces(builder, builder.gep(starts, [arguments[7]]), vectors))
            sums = [_begun(builder, load(target), begins, arguments[4]) for target in targets]
            single, length = _ir.Constant(_WORD, 1), _ir.Constant(_WORD, LANES * vectors)
            with _cgutils.for_range_slice(builder, arguments[12], arguments[13], single, _WORD) as (p, _):
                n = builder.sub(builder.sext(builder.load(builder.gep(listed, [p])), _WORD), arguments[9])
                pieces = load(_pieces(builder, builder.gep(table, [builder.mul(n, length)]), vectors))
                four = builder.gep(factor, [builder.mul(p, _ir.Constant(_WORD, 4))])
                for r, own in enumerate(sums):
                    _accumulate(builder, own, pieces, builder.load(builder.gep(four, [_ir.Constant(_WORD, r)])))
            low = _splat(builder, arguments[5])
            for own, target in zip(sums, targets, strict=True):
                found = [builder.load(total) for total in own]
                store([builder.select(builder.fcmp_ordered("<", f, low), low, f) for f in found], target)
            return context.get_dummy_value()

        place = _types.intp
        kinds = (
            result,
            place,
            place,
            place,
            result.dtype,
            result.dtype,
            start,
            place,
            source,
            place,
            places,
            factors,
            place,
            place,
        )
        return _types.none(*kinds), generate

    return add


def _four_rows(builder: Any, begin: Any, at: Any, apart: Any, vectors: int) -> tuple[list[list[Any]], list[Any]]:
    """Return where the pieces of four rows lie, and those of the four rows that follow, in one list."""
    rows = []
    for r in range(8):
        place = builder.add(at, builder.mul(apart, _ir.Constant(_WORD, r)))
        rows.append(_pieces(builder, builder.gep(begin, [place]), vectors))
    return rows[:4], [place for row in rows[4:] for place in row]


def _begun(builder: Any, old: list[Any], new: list[Any], keep: Any) -> list[Any]:
    """Return registers that hold keep old + new, or `new` where `keep` is 0, whatever `old` is."""
    fresh, share = builder.fcmp_ordered("==", keep, _ir.Constant(keep.type, 0)), _splat(builder, keep)
    values = []
    for before, added in zip(old, new, strict=True):
        values.append(builder.select(fresh, added, builder.fadd(builder.fmul(before, share), added)))
    return _registers(builder, values)


def _accumulate(builder: Any, totals: list[Any], pieces: list[Any], factor: Any) -> None:
    """Add a multiple of `pieces` to registers."""
    wide = _splat(builder, factor)
    for total, piece in zip(totals, pieces, strict=True):
        more = builder.fmul(piece, wide, flags=("contract",))
        builder.store(builder.fadd(builder.load(total), more, flags=("contract",)), total)


def _fetch(builder: Any, place: Any) -> None:
    """Have the line of memory at `place` brought nearer; a place outside of all memory does no harm."""
    byte = _ir.IntType(8).as_pointer()
    kind = _ir.FunctionType(_ir.VoidType(), [byte, _CODE, _CODE, _CODE])
    bring = _cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    read_soon_data = (_ir.Constant(_CODE, number) for number in (0, 3, 1))
    builder.call(bring, [builder.bitcast(place, byte), *read_soon_data])


def _moves(context: Any, builder: Any, number: Any, vectors: int, width: Any) -> Any:
    """Return functions that load and store `vectors` vectors; where `width` is given, its first numbers only."""
    kind = context.get_data_type(number)
    vector, size = _ir.VectorType(kind, LANES), context.get_abi_sizeof(kind)
    if width is None:
        return (
            lambda places: [builder.load(place, align=size) for place in places],
            lambda values, places: [builder.store(v, p, align=size) for v, p in zip(values, places, strict=True)],
        )
    align, nothing = _ir.Constant(_CODE, size), _ir.Constant(vector, None)
    wide = _splat(builder, builder.trunc(width, _CODE))
    columns = (_ir.Constant(_NUMBERS, [LANES * part + lane for lane in range(LANES)]) for part in range(vectors))
    masks = [builder.icmp_signed("<", column, wide) for column in columns]
    reading = _ir.FunctionType(vector, [vector.as_pointer(), _CODE, _MASKS, vector])
    writing = _ir.FunctionType(_ir.VoidType(), [vector, vector.as_pointer(), _CODE, _MASKS])
    suffix = f"v{LANES}f{8 * size}.p0"
    read = _cgutils.get_or_insert_function(builder.module, reading, f"llvm.masked.load.{suffix}")
    write = _cgutils.get_or_insert_function(builder.module, writing, f"llvm.masked.store.{suffix}")
    return (
        lambda places: [builder.call(read, [p, align, m, nothing]) for p, m in zip(places, masks, strict=True)],
        lambda values, places: [
            builder.call(write, [v, p, align, m]) for v, p, m in zip(values, places, masks, strict=True)
        ],
    )


add_four_64, add_four_64_masked = _tile_adder(4, masked=False), _tile_adder(4, masked=True)


@_extending.intrinsic  # type: ignore[untyped-decorator]
def fetch(typing: Any, array: Any, at: Any) -> Any:
    """Have the line of memory that holds place `at` of an array brought nearer; for kernels, nothing is checked."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (begin,) = _arrays(context, builder, signature, arguments, 0)
        _fetch(builder, builder.gep(begin, [arguments[1]]))
        return context.get_dummy_value()

    return _types.none(array, _types.intp), generate
