"""SHA-256 sums: files that this process has already verified, and the message for a file that differs."""

from __future__ import annotations

from pathlib import Path

from threegen.datasets.catalogue import KnownFile
from threegen.errors import DataError

_verified: set[tuple[str, str, int, int]] = set()


def _key(path: Path, known: KnownFile) -> tuple[str, str, int, int]:
    facts = path.stat()
    return (known.sha256, str(path.resolve()), facts.st_size, facts.st_mtime_ns)


def sum_to_check(path: Path, known: KnownFile, verify: bool) -> str | None:
    """Return the sum to compare with, or None if `verify` is off or the unchanged file was verified before."""
    return known.sha256 if verify and _key(path, known) not in _verified else None


def remember(path: Path, known: KnownFile) -> None:
    """Record that a file was verified."""
    _verified.add(_key(path, known))


def compare_sum(label: str, found: str, expected: str, advice: str = "delete it or pass verify=False") -> None:
    """Raise `DataError` if a file's sum is not the published one."""
    if found != expected:
        raise DataError(f"{label} sha256 {found[:4]}.. != {expected[:4]}..: not the published file; {advice}")
