"""What a user's machine has: the wheel is built, unpacked apart from the sources, and used by a user's own file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
BUILD = "from setuptools.build_meta import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
LARGEST = 28 * 10**6  # bytes; the README says "about 25 MB": 18 MB of weights, 11 MB of MNIST compressed, the code
PARTS = ("src", "reproduction", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel alone; the packages that it needs are those of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in PARTS:
        part = ROOT / name
        if part.is_dir():
            shutil.copytree(part, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(part, source / name)
    done = subprocess.run([sys.executable, "-c", BUILD, str(folder)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    wheel = folder / done.stdout.splitlines()[-1]
    assert wheel.stat().st_size < LARGEST
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "site")
    return folder / "site"


def run(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    environment.pop("THREEGEN_DATA", None)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def test_it_is_the_wheel_that_is_tested(site: Path, tmp_path: Path) -> None:
    found = run(site, tmp_path, "-c", "import threegen; print(threegen.__file__)").stdout
    assert Path(found.strip()).is_relative_to(site)


def test_a_users_file_runs(site: Path, tmp_path: Path) -> None:
    """Own neuron, own read-out, own loop, safetensors, pruning, LBFGS; half of 25,450 weights are pruned, none gone."""
    shown = run(site, tmp_path, str(HERE / "a_users_file.py")).stdout.splitlines()
    spiking, dense, bill = (line.split() for line in shown)
    assert float(spiking[1]) > 0.8  # chance is .1
    assert int(spiking[2]) == 47  # 3,000 images in batches of 64; each is in the log, two make an update
    assert float(dense[1]) > 0.8
    assert int(dense[2]) == 784 * 32 + 32 + 32 * 10 + 10
    assert bill[0] == "bill"


def test_a_users_file_is_typed(site: Path, tmp_path: Path) -> None:
    """mypy --strict finds nothing in it, and finds the wrong call in a line that is added."""
    text = (HERE / "a_users_file.py").read_text()
    (tmp_path / "good.py").write_text(text)
    (tmp_path / "bad.py").write_text(text + '\ntg.MLP("nonsense", nope=1)\n')
    command = ["-m", "mypy", "--strict", "--no-error-summary", "--follow-imports=silent", "--cache-dir", "cache"]
    environment = {**os.environ, "PYTHONPATH": str(site), "MYPYPATH": str(site)}
    found = subprocess.run(
        [sys.executable, *command, "good.py", "bad.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
    ).stdout
    assert "good.py" not in found, found
    assert 'Unexpected keyword argument "nope" for "MLP"' in found


def test_records_and_data_are_inside(site: Path, tmp_path: Path) -> None:
    assert "classic-program" in run(site, tmp_path, "-m", "threegen", "reproduce").stdout
    lines = run(site, tmp_path, "-m", "threegen", "reproduce").stdout
    for record in (ROOT / "reproduction").glob("*.json"):
        row = next(line for line in lines.splitlines() if f" {record.stem} " in line)
        assert "not run yet" not in row
    run(site, tmp_path, "-m", "threegen", "data", "check", "mnist")
