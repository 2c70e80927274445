"""The capabilities of the processor, the same for torch and the kernels.

torch chooses its own kernels once in a process: `ATEN_CPU_CAPABILITY=avx2` (or `default`) keeps it from wider vectors.
threegen's kernels follow it: their compilation is restricted in the same way, so that a machine with AVX-512 can also
run, and test, the code for a machine with AVX2.

numba fixes the instruction set once in a process, when its first function is decorated. It is chosen here only if that
has not happened yet and the user has chosen nothing; `numba.config` is restored afterwards. Otherwise the kernels are
compiled for the set that numba was started with, and `instruction_note` gives the cost of that.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import torch

_BEYOND_AVX2 = ("avx512", "avx10", "evex512")  # prefixes of LLVM's names for instructions wider than AVX2
_WITH_AVX = frozenset(("fma", "fma4", "f16c", "xop", "vaes", "vpclmulqdq"))  # each implies AVX


def capability() -> str:
    """Return the widest instructions that torch and the kernels use: "AVX512", "AVX2", "DEFAULT" or another of torch's.

    Reads `ATEN_CPU_CAPABILITY`, as torch does, once in a process.
    """
    return str(torch.backends.cpu.get_cpu_capability())


def has_wide_vectors() -> bool:
    """Return whether there are registers of sixteen float32 numbers (AVX-512) and torch uses them."""
    return capability() == "AVX512"


@cache
def multiplies_bfloat16() -> bool:
    """Return whether the processor has instructions for bfloat16 products, and torch may use vectors as wide as theirs.

    Without them torch takes 3 to 17 times as long for such a product or convolution as in float32 (measured on an AMD
    EPYC with AVX2).
    """
    host = _binding().get_host_cpu_features()
    on_x86 = has_wide_vectors() and (host.get("avx512bf16") or host.get("amx-bf16"))
    return bool(on_x86 or host.get("bf16"))  # the last is ARM's


@cache
def knows(feature: str) -> bool:
    """Return whether kernels are compiled for one of LLVM's processor features, such as "avx512f"."""
    return f"+{feature}" in features_in_use().split(",")


def processor_name() -> str:
    """Return LLVM's name of this processor, such as "znver5"."""
    return str(_binding().get_host_cpu_name())


def features_in_use() -> str:
    """Return the features that numba compiles for, as LLVM writes them: "+avx2,-avx512f,..."."""
    choose_instructions()
    return str(_target().target_context.codegen().magic_tuple()[2])


@cache
def choose_instructions() -> bool:
    """Let numba compile for `wanted_features`; return whether it does.

    It returns False and changes nothing if numba was started before, or if the user has chosen (`NUMBA_CPU_FEATURES`,
    `NUMBA_CPU_NAME`, `NUMBA_ENABLE_AVX=0`).
    """
    config: Any = importlib.import_module("numba").config
    wanted = wanted_features()
    if numba_has_started():
        return wanted in (None, str(_target().target_context.codegen().magic_tuple()[2]))
    if wanted is None:
        return True
    if config.CPU_FEATURES is not None or config.CPU_NAME is not None or not config.ENABLE_AVX:
        return False
    before = config.CPU_FEATURES
    config.CPU_FEATURES = wanted
    try:
        _target().target_context.codegen()  # starts numba; from here on the features are fixed
    finally:
        config.CPU_FEATURES = before
    return True


def numba_has_started() -> bool:
    """Return whether numba has fixed its instruction set: some function of this process was decorated by `njit`."""
    return "_toplevel_target_context" in vars(_target())


@cache
def wanted_features() -> str | None:
    """Return the best features for threegen's kernels, in LLVM's notation; None if numba's default is right.

    LLVM uses vectors of 256 bits on Intel's processors, because the first ones with AVX-512 slowed down; those that
    support bfloat16 do not. Sums of rows take two thirds of the time with 512 bits.
    """
    host = dict(_binding().get_host_cpu_features())
    if not host.get("avx2"):
        return None
    if capability() == "AVX512":
        return f"{_flat(host)},-prefer-256-bit" if host.get("avx512bf16") else None
    refused = _BEYOND_AVX2 if capability() == "AVX2" else ("avx", *_BEYOND_AVX2)
    allowed = {
        name: known and not name.startswith(refused) and not (capability() != "AVX2" and name in _WITH_AVX)
        for name, known in host.items()
    }
    return None if allowed == host else _flat(allowed)


def instruction_note() -> str:
    """Return a note on the cost if numba was started with other features than the best ones; otherwise an empty
    text."""
    if choose_instructions():
        return ""
    return (
        "numba was started, or configured, by other code: kernels use its instruction set; without vectors of 512 "
        "bits, sums of rows take up to 1.5 times as long; import threegen's kernels first, or unset NUMBA_CPU_*"
    )


def _flat(features: dict[str, bool]) -> str:
    """Return features as LLVM reads them."""
    return ",".join(f"{'+' if known else '-'}{name}" for name, known in sorted(features.items()))


def _binding() -> Any:
    return importlib.import_module("llvmlite.binding")


def _target() -> Any:
    """Return numba's one target for this processor; private to numba, and tested (`tests/machine`)."""
    return importlib.import_module("numba.core.registry").cpu_target
