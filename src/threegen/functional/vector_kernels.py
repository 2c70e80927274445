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
            vector, size = _ir.VectorType(kind, LANES), context.get_abi_sizeof(kind)
            data = {
                number: context.make_array(signature.args[number])(context, builder, arguments[number]).data
                for number in (0, 2, 5)
            }

            def pieces(place: Any) -> list[Any]:
                ends = (builder.gep(place, [_ir.Constant(_WORD, LANES * number)]) for number in range(vectors))
                return [builder.bitcast(end, vector.as_pointer()) for end in ends]

            targets = pieces(builder.gep(data[0], [arguments[1]]))
            sums = [_cgutils.alloca_once(builder, vector) for _ in targets]  # the compiler makes registers of them
            for own, target in zip(sums, targets, strict=True):
                builder.store(builder.load(target, align=size), own)
            with _cgutils.for_range_slice(builder, arguments[6], arguments[7], _ir.Constant(_WORD, 1), _WORD) as (p, _):
                code = builder.load(builder.gep(data[5], [p]))
                negative = builder.ashr(code, _ir.Constant(_CODE, 31))  # all bits or none
                row = builder.sext(builder.xor(code, negative), _WORD)
                sign = builder.sitofp(builder.or_(negative, _ir.Constant(_CODE, 1)), kind)
                nothing = _ir.Constant(vector, _ir.Undefined)
                signs = builder.insert_element(nothing, sign, _ir.Constant(_CODE, 0))
                signs = builder.shuffle_vector(signs, nothing, _ir.Constant(_ir.VectorType(_CODE, LANES), None))
                begin = builder.gep(data[2], [builder.add(builder.mul(row, arguments[4]), arguments[3])])
                for own, piece in zip(sums, pieces(begin), strict=True):
                    signed = builder.fmul(builder.load(piece, align=size), signs, flags=("contract",))
                    builder.store(builder.fadd(builder.load(own), signed, flags=("contract",)), own)
            for own, target in zip(sums, targets, strict=True):
                builder.store(builder.load(own), target, align=size)
            return context.get_dummy_value()

        place = _types.intp
        return _types.none(result, place, source, place, place, codes, place, place), generate

    return add


add_16, add_32, add_64, add_128 = (_adder(vectors) for vectors in (1, 2, 4, 8))


@_extending.intrinsic  # type: ignore[untyped-decorator]
def list_sixteens(typing: Any, source: Any, start: Any, count: Any, places: Any) -> Any:
    """List which of `count` bytes of `source` from place `start` on are not 0, in `places`; return how many there are.

    For kernels only. `count` is a multiple of sixteen; `source` (uint8) and `places` (int32, with room for `count` and
    sixteen more) are contiguous, and nothing is checked. The numbers rise and count from `start`.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bytes_, listed = (
            context.make_array(signature.args[number])(context, builder, arguments[number]).data for number in (0, 3)
        )
        numbers, masks = _ir.VectorType(_CODE, LANES), _ir.VectorType(_ir.IntType(1), LANES)
        letters = _ir.VectorType(_ir.IntType(8), LANES)
        kind = _ir.FunctionType(_ir.VoidType(), [numbers, _CODE.as_pointer(), masks])
        pack = _cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.compressstore.v{LANES}i32")
        at = _cgutils.alloca_once_value(builder, _ir.Constant(_WORD, 0))
        steps = _ir.Constant(numbers, list(range(LANES)))
        nothing, whole = _ir.Constant(numbers, _ir.Undefined), _ir.Constant(_WORD, LANES)
        with _cgutils.for_range_slice(builder, _ir.Constant(_WORD, 0), arguments[2], whole, _WORD) as (first, _):
            begin = builder.gep(bytes_, [builder.add(arguments[1], first)])
            read = builder.load(builder.bitcast(begin, letters.as_pointer()), align=1)
            mask = builder.icmp_unsigned("!=", read, _ir.Constant(letters, None))
            base = builder.insert_element(nothing, builder.trunc(first, _CODE), _ir.Constant(_CODE, 0))
            base = builder.shuffle_vector(base, nothing, _ir.Constant(numbers, None))
            now = builder.load(at)
            builder.call(pack, [builder.add(base, steps), builder.gep(listed, [now]), mask])
            found = builder.ctpop(builder.bitcast(mask, _ir.IntType(LANES)))
            builder.store(builder.add(now, builder.zext(found, _WORD)), at)
        return builder.load(at)

    place = _types.intp
    return place(source, place, place, places), generate
