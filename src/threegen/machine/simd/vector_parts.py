"""The pieces from which vector instructions are written out (`vector_kernels`, `line_kernels`), in terms of LLVM.

Instruction: vectors of sixteen numbers, one register of AVX-512 each (Intel from Skylake-X, AMD from Zen 4).
Written by hand because numba has no vector type. On other processors LLVM splits each vector into the available
registers.
"""

from __future__ import annotations

import importlib
from typing import Any

from threegen.machine.compiler import ready_numba

ready_numba()
extending: Any = importlib.import_module("numba.extending")
types: Any = importlib.import_module("numba.core.types")
cgutils: Any = importlib.import_module("numba.core.cgutils")
ir: Any = importlib.import_module("llvmlite.ir")

LANES = 16
CODE, WORD = ir.IntType(32), ir.IntType(64)
NUMBERS, MASKS = ir.VectorType(CODE, LANES), ir.VectorType(ir.IntType(1), LANES)
STEPS = ir.Constant(NUMBERS, list(range(LANES)))


def begins_of(context: Any, builder: Any, signature: Any, arguments: Any, *numbers: int) -> list[Any]:
    """Return the start addresses of the arrays among the arguments."""
    return [context.make_array(signature.args[number])(context, builder, arguments[number]).data for number in numbers]


def splat(builder: Any, value: Any) -> Any:
    """Return a vector of sixteen times the same value."""
    nothing = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(CODE, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(NUMBERS, None))


def pieces_from(builder: Any, begin: Any, vectors: int) -> list[Any]:
    """Return the addresses of the first, second, ... sixteen numbers from `begin` on."""
    vector = ir.VectorType(begin.type.pointee, LANES).as_pointer()
    ends = (builder.gep(begin, [ir.Constant(WORD, LANES * number)]) for number in range(vectors))
    return [builder.bitcast(end, vector) for end in ends]


def registers(builder: Any, values: list[Any]) -> list[Any]:
    """Return stack slots that hold `values`; the compiler turns them into registers."""
    places = [cgutils.alloca_once(builder, value.type) for value in values]
    for place, value in zip(places, values, strict=True):
        builder.store(value, place)
    return places


def packer(builder: Any, vector: Any, suffix: str) -> Any:
    """Return the instruction that stores the numbers of a vector that a mask selects contiguously."""
    kind = ir.FunctionType(ir.VoidType(), [vector, vector.element.as_pointer(), MASKS])
    return cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.compressstore.v{LANES}{suffix}")


def count_bits(builder: Any, mask: Any) -> Any:
    """Return how many of sixteen bits are set, as a word."""
    return builder.zext(builder.ctpop(builder.bitcast(mask, ir.IntType(LANES))), WORD)
