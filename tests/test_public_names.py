"""The public names and the command line are promises: a change of either must be meant, and shows here."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import threegen
from threegen.errors import MissingExtraError
from threegen.names import FLAT, NAMESPACES, homes_of

ROOT = Path(__file__).parents[1]
EXTRAS = ("sklearn", "PIL", "tensorboard", "gymnasium", "optuna", "nir", "onnx", "starlette", "h5py", "matplotlib")


def generator() -> ModuleType:
    """Return scripts/public_names.py as a module."""
    spec = importlib.util.spec_from_file_location("public_names", ROOT / "scripts" / "public_names.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_stubs_and_snapshot_follow_from_the_table() -> None:
    """If the change is meant, run: python scripts/public_names.py"""
    for path, text in generator().files().items():
        assert path.read_text() == text, path.relative_to(ROOT)


def test_about_fifty_names_are_flat_and_each_is_in_a_namespace_too() -> None:
    assert len(FLAT) == len(set(FLAT)) <= 60
    assert set(FLAT) <= {name for namespace in NAMESPACES for name in homes_of(namespace)}


@pytest.mark.parametrize("namespace", sorted(NAMESPACES))
def test_every_public_name_loads_and_is_documented(namespace: str) -> None:
    place = getattr(threegen, namespace)
    assert place.__doc__
    for name in homes_of(namespace):
        value = getattr(place, name)
        assert not isinstance(value, ModuleType), name
        assert value.__doc__, name
        assert name in dir(place)
    assert not hasattr(place, "no_such_name")


def test_every_flat_name_loads_and_is_the_same_object_as_in_its_namespace() -> None:
    for name in FLAT:
        places = [namespace for namespace in NAMESPACES if name in homes_of(namespace)]
        assert getattr(threegen, name) is getattr(getattr(threegen, places[0]), name)
    assert not hasattr(threegen, "no_such_name")


def test_a_function_wins_over_the_module_that_is_called_the_same() -> None:
    code = (
        "import threegen.training.fit, threegen.training.evaluate, threegen.cost.count; import threegen as tg; "
        "print(callable(tg.training.fit), callable(tg.training.evaluate), callable(tg.cost.count))"
    )
    assert run(code) == "True True True\n"


def test_import_loads_nothing_heavy() -> None:
    """`import threegen` loads neither torch nor anything else that takes time; the loop adds no heavy package."""
    code = (
        "import sys, threegen; light = 'torch' in sys.modules; threegen.fit; threegen.MLP; "
        "heavy = {'numba', 'matplotlib', 'pooch', 'sklearn', 'scipy', 'requests'} & set(sys.modules); "
        "print(light, sorted(heavy))"
    )
    assert run(code).strip() == "False []"


def test_names_can_be_looked_up_with_every_extra_missing() -> None:
    """hasattr, dir, help and `from threegen import *` never fail; to use the object says which extra is missing."""
    code = f"""
import sys
for package in {EXTRAS[:-1]}: sys.modules[package] = None
import pydoc, threegen as tg
from threegen.names import NAMESPACES, homes_of
from threegen import *
assert Classifier is not None and hasattr(tg, "Classifier") and "Classifier" in dir(tg)
for namespace in NAMESPACES:
    for name in homes_of(namespace): assert hasattr(getattr(tg, namespace), name), name
assert "Classifier" in pydoc.render_doc(tg) and "threegen[sklearn]" in pydoc.render_doc(tg.Classifier)
try: tg.Classifier("mlp")
except tg.errors.MissingExtraError as problem: print(problem)
"""
    assert run(code) == 'Classifier needs scikit-learn, which is not installed; pip install "threegen[sklearn]"\n'


def test_the_sentence_names_an_extra_that_exists() -> None:
    known = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text()
        named = set(re.findall(r"threegen\[(\w+)\]", text.replace("threegen[extra]", "")))
        named |= {words[-1] for words in re.findall(r'MissingExtraError\.of\(("[^"]+"), ("[^"]+"), "(\w+)"\)', text)}
        assert named <= known, path


USER = """
import threegen as tg
model = tg.MLP("nonsense", nope=1)
reveal_type(tg.fit)
reveal_type(tg.rules.PairSTDP)
"""


def test_a_type_checker_sees_the_names(tmp_path: Path) -> None:
    """mypy --strict of a user's file finds the wrong call; without the stubs every name is Any."""
    (tmp_path / "user.py").write_text(USER)
    arguments = ["--strict", "--no-error-summary", "--follow-imports=silent", "user.py"]
    options: dict[str, Any] = {"cwd": tmp_path, "capture_output": True, "text": True}
    found = subprocess.run([sys.executable, "-m", "mypy", *arguments], **options).stdout
    assert 'Unexpected keyword argument "nope" for "MLP"' in found
    assert 'Argument 1 to "MLP" has incompatible type "str"' in found
    assert "TrainingLog" in found
    assert "threegen.rules.pair_stdp.PairSTDP" in found


def test_the_error_is_a_config_error_with_the_extra_in_it() -> None:
    problem = MissingExtraError.of("this", "that", "dev")
    assert isinstance(problem, threegen.errors.ConfigError)
    assert str(problem) == 'this needs that, which is not installed; pip install "threegen[dev]"'
