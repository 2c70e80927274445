"""What the processor can do, against the flags that the kernel of the operating system lists."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from threegen.machine.processor import has_wide_vectors, multiplies_bfloat16

FLAGS = Path("/proc/cpuinfo")


@pytest.mark.skipif(not FLAGS.exists() or platform.machine() != "x86_64", reason="needs Linux on x86-64")
def test_bfloat16_products_are_those_of_the_flags() -> None:
    found = next(line for line in FLAGS.read_text().splitlines() if line.startswith("flags")).split()
    assert multiplies_bfloat16() == (has_wide_vectors() and not {"avx512_bf16", "amx_bf16"}.isdisjoint(found))
