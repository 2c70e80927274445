"""One instruction of the processor where the compiler would take sixteen."""

from __future__ import annotations

import importlib
from typing import Any

from threegen.threads import ready_numba

ready_numba()
_extending: Any = importlib.import_module("numba.extending")
_types: Any = importlib.import_module("numba.core.types")
_ir: Any = importlib.import_module("llvmlite.ir")

LANES = 16


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
