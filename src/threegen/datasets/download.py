"""Downloading known data sets from their mirrors, and importing files that the user already has.

The only module that touches the network, and only when `get_data` is called. Every file is verified by the SHA-256 of
its decompressed bytes before it is moved into the data folder.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from threegen.datasets.archives import read_members
from threegen.datasets.catalogue import KnownData, KnownFile, find_known
from threegen.datasets.events.known import EVENT_SETS
from threegen.datasets.events.recordings import import_event_data
from threegen.datasets.folders import Root, data_root, find_file, find_folder
from threegen.datasets.gather import gather, is_packed, most_bytes, verify_content
from threegen.datasets.store import staged_folder
from threegen.datasets.sums import compare_sum
from threegen.errors import DataError

Progress = Callable[[int, int], None]

_TIMEOUT_SECONDS = 30
_FULL = (errno.ENOSPC, errno.EDQUOT)


def get_data(name: str, *, root: Root = None, progress: bool | Progress = False) -> Path:
    """Download a data set into the user's data folder and return its folder; nothing is downloaded if it exists.

    progress: True draws a bar on standard error; a function is called with (bytes so far, bytes in all).

    Raises `ConfigError` for an unknown name or a data folder that cannot be written, `DataError` if no mirror has the
    right files; the message gives each mirror's answer and other sources of the files.
    """
    if name in EVENT_SETS:
        known_events = EVENT_SETS[name]
        raise DataError(
            f"threegen does not download {name}: its publishers move it too often; get {known_events.files} from them "
            f"({known_events.citation}), then `threegen data import {name} PATH`"
        )
    known = find_known(name)
    there = find_folder(known, root)
    if there is not None and _is_right(known, there):
        return there
    target = data_root(root)
    with _reporter(known, progress) as report, staged_folder(target, known.name) as staging:
        counter = _Counter(report, known.download_bytes)
        for filename, content in _fetch_all(known, counter).items():
            (staging / filename).write_bytes(content)
    return target / known.name


def import_data(
    name: str, path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], *, root: Root = None
) -> Path:
    """Import a data set from the user's files, folder or archive (zip, tar); return its new folder.

    path: one path, or several if the files are in different places. Files may be gzip-compressed or not. Sets of
    recordings (`n-mnist`, `cifar10-dvs`, `dvs-gesture`, `shd`) are converted to arrays that are read lazily.

    Raises `DataError` if a file is missing, damaged or not the published one; nothing is changed then.
    """
    if name in EVENT_SETS:
        return import_event_data(name, path, root=root)
    known = find_known(name)
    given = [path] if isinstance(path, str | os.PathLike) else list(path)
    contents = gather(known, [Path(item).expanduser() for item in given])
    target = data_root(root)
    with staged_folder(target, known.name) as staging:
        for filename, content in contents.items():
            (staging / filename).write_bytes(content)
    return target / known.name


def _is_right(known: KnownData, folder: Path) -> bool:
    try:
        for file in known.files:
            path = find_file(folder, file)
            if path is None or path.stat().st_size > most_bytes(file):
                return False
            verify_content(known, file, path.read_bytes())
    except (DataError, OSError):
        return False
    return True


def _fetch_all(known: KnownData, counter: _Counter) -> dict[str, bytes]:
    if known.archive is not None:
        archive = known.archive
        content = _fetch(known, archive, archive.name, counter, lambda values: _verify_archive(archive, values))
        return _unpack_archive(known, content)
    contents: dict[str, bytes] = {}
    for file in known.files:
        content = _fetch(known, file, file.name + ".gz", counter, _verifier(known, file))
        contents[file.name + (".gz" if is_packed(content) else "")] = content
    return contents


def _verifier(known: KnownData, file: KnownFile) -> Callable[[bytes], None]:
    return lambda values: verify_content(known, file, values)


def _verify_archive(archive: KnownFile, values: bytes) -> None:
    compare_sum(archive.name, hashlib.sha256(values).hexdigest(), archive.sha256, "not kept")


def _unpack_archive(known: KnownData, content: bytes) -> dict[str, bytes]:
    wanted = {file.name: file.length for file in known.files}
    archive = known.archive.name if known.archive else "archive.tar.gz"
    members = read_members(io.BytesIO(content), wanted, name=archive)
    for file in known.files:
        if file.name not in members:
            raise DataError(f"{archive}: {file.name} is missing")
        verify_content(known, file, members[file.name])
    return members


def _fetch(
    known: KnownData, file: KnownFile, filename: str, counter: _Counter, verify: Callable[[bytes], None]
) -> bytes:
    """Return the content of one file from the first mirror that gives the right bytes."""
    reasons: list[str] = []
    # The mirror of the last file is tried first: one that does not answer costs its waiting time once, not for every
    # file.
    for mirror in sorted(known.mirrors, key=lambda url: url != counter.good_mirror):
        sink = _Sink(most_bytes(file), counter)
        try:
            _download(mirror + filename, sink)
            content = sink.getvalue()
            verify(content)
            counter.good_mirror = mirror
            return content
        except (OSError, ValueError) as error:  # requests' errors are OSErrors, DataError is a ValueError
            if isinstance(error, OSError) and error.errno in _FULL:
                raise
            counter.back(sink.tell())
            reasons.append(f"{urlsplit(mirror).hostname}: {_reason(error)}")
    elsewhere = f"; {known.elsewhere}" if known.elsewhere else ""
    raise DataError(
        f"no mirror gave {filename} of {known.name} ({'; '.join(reasons)}){elsewhere}; "
        f"import files that you have with `threegen data import {known.name} PATH`"
    )


def _reason(error: Exception) -> str:
    """Return the cause in a few words: the errors of requests quote long chains of wrapped errors."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"HTTP {status}"
    if isinstance(error, DataError):
        return str(error)
    return {"ConnectTimeout": "no answer in time", "ReadTimeout": "no answer in time"}.get(
        type(error).__name__, "no connection" if "Connection" in type(error).__name__ else type(error).__name__
    )


def _download(url: str, sink: _Sink) -> None:
    import pooch

    pooch.HTTPDownloader(timeout=_TIMEOUT_SECONDS, progressbar=False)(url, sink, None)


class _Counter:
    """The number of downloaded bytes, reported to the progress display."""

    def __init__(self, report: Progress | None, total: int) -> None:
        self._report = report
        self._total = total
        self._done = 0
        self.good_mirror = ""

    def add(self, count: int) -> None:
        self._done += count
        if self._report is not None:
            self._report(self._done, max(self._total, self._done))

    def back(self, count: int) -> None:
        self._done -= count


class _Sink(io.BytesIO):
    """A file in memory with a size limit, so that a mirror cannot fill the memory."""

    def __init__(self, most: int, counter: _Counter) -> None:
        super().__init__()
        self._most = most
        self._counter = counter

    def write(self, values: object) -> int:
        piece = cast(bytes, values)
        if self.tell() + len(piece) > self._most:
            raise DataError(f"sent more than the {self._most:,} bytes that were expected")
        self._counter.add(len(piece))
        return super().write(piece)


@contextmanager
def _reporter(known: KnownData, progress: bool | Progress) -> Iterator[Progress | None]:
    if not isinstance(progress, bool):
        yield progress
        return
    if not progress:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(known.name, total=known.download_bytes)
        yield lambda done, total: bars.update(task, completed=done, total=total)
