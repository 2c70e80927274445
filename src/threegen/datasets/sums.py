"""Which files this process has already verified, so that a sum is computed at the first opening only."""

from __future__ import annotations

from pathlib import Path

from threegen.datasets.catalogue import KnownFile

_verified: set[tuple[str, str, int, int]] = set()


def _key(path: Path, known: KnownFile) -> tuple[str, str, int, int]:
    facts = path.stat()
    return (known.sha256, str(path.resolve()), facts.st_size, facts.st_mtime_ns)


def sum_to_check(path: Path, known: KnownFile, verify: bool) -> str | None:
    """Return the sum to compare with, or None where `verify` is off or the unchanged file has passed before."""
    return known.sha256 if verify and _key(path, known) not in _verified else None


def remember(path: Path, known: KnownFile) -> None:
    """Note that a file has passed."""
    _verified.add(_key(path, known))
