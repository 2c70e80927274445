"""SHA-256 sums: which files this process has verified already, and the sentence for a file that differs."""

from __future__ import annotations

from pathlib import Path

from threegen.datasets.catalogue import KnownFile
from threegen.errors import DataError

_verified: set[tuple[str, str, int, int]] = set()


def _key(path: Path, known: KnownFile) -> tuple[str, str, int, int]:
    facts = path.stat()
    return (known.sha256, str(path.resolve()), facts.st_size, facts.st_mtime_ns)


def sum_to_check(path: Path, known: KnownFile, verify: bool) -> str | None:
    """Return the sum to compare with, or None if `verify` is off or the unchanged file has passed before."""
    return known.sha256 if verify and _key(path, known) not in _verified else None


def remember(path: Path, known: KnownFile) -> None:
    """Note that a file has passed."""
    _verified.add(_key(path, known))


def compare_sum(label: str, found: str, expected: str, advice: str = "delete it or pass verify=False") -> None:
    """Raise `DataError` if a file's sum is not the published one."""
    if found != expected:
        raise DataError(f"{label} sha256 {found[:4]}.. != {expected[:4]}..: not the published file; {advice}")
