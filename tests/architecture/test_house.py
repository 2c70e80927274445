"""The house: imports go one way, nothing is circular, files and functions stay small (DESIGN section 3)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from threegen.machine.torch_private import NAMES
from threegen.names import FLAT

SOURCE = Path(__file__).parents[2] / "src" / "threegen"

# From the top of the house to the bottom: a module imports from packages above it, or from its own.
PACKAGES = (
    "errors",
    "wrong_types",
    "names",
    "models",
    "neurons",
    "encoders",
    "checks",
    "randomness",
    "plots",
    "gif",
    "tables",
    "machine",
    "functional",
    "datasets",
    "gen1",
    "gen2",
    "gen3",
    "tracing",
    "rules",
    "training",
    "testing",
    "cost",
    "explanations",
    "conversion",
    "registry",
    "runs",
    "figures",
    "studies",
    "report",
    "web",
    "cli",
    "__main__",
)
MODELS = ("gen1", "gen2", "gen3")
LONGEST_FILE = 400
LONGEST_FUNCTION = 60


def modules() -> dict[str, Path]:
    """Return every module by its dotted name inside the package; a package's `__init__` is the package."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:  # the package's own __init__ is exempt: it names everything and loads nothing
            found[name] = path
    return found


def imports_of(path: Path, known: set[str], *, top_level_only: bool = False) -> set[str]:
    """Return the modules of the package that a file imports, deferred and type-checking imports included."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    targets = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        targets |= {name.removeprefix("threegen.") for name in names if name.startswith("threegen.")}
    return targets & known


def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: imports_of(path, set(known)) - {name} for name, path in known.items()}


def package(module: str) -> str:
    return module.partition(".")[0]


def test_every_package_is_on_the_map() -> None:
    assert {package(name) for name in modules()} <= set(PACKAGES)


def test_no_import_goes_upward() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, targets in graph().items()
        for target in targets
        if PACKAGES.index(package(target)) > PACKAGES.index(package(name))
    ]
    assert not wrong


def test_models_and_rules_do_not_know_each_other() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, targets in graph().items()
        for target in targets
        if "rules" in (one := {package(name), package(target)}) and one & set(MODELS)
    ]
    assert not wrong


def test_no_cycle() -> None:
    edges = graph()
    state: dict[str, str] = {}

    def walk(name: str, path: tuple[str, ...]) -> None:
        assert state.get(name) != "open", f"cycle: {' -> '.join((*path, name))}"
        if name in state:
            return
        state[name] = "open"
        for target in edges[name]:
            walk(target, (*path, name))
        state[name] = "done"

    for module in edges:
        walk(module, ())


def test_imports_stand_at_the_top() -> None:
    """Only the command line defers imports of the package, so that `threegen --help` need not load torch."""
    known = modules()
    wrong = [
        f"{name} defers {target}"
        for name, path in known.items()
        if package(name) != "cli"
        for target in imports_of(path, set(known)) - imports_of(path, set(known), top_level_only=True) - {name}
    ]
    assert not wrong


@pytest.mark.parametrize("name", sorted(modules()))
def test_files_and_functions_stay_small(name: str) -> None:
    text = modules()[name].read_text()
    assert len(text.splitlines()) <= LONGEST_FILE, "the design wants a new package or module"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            first = node.body[0].end_lineno if ast.get_docstring(node) else node.lineno
            length = (node.end_lineno or 0) - (first or 0)
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines below its docstring"


def test_no_pickle_and_no_foreign_loader() -> None:
    """Pickles can run code: neither pickle nor torch.load or torch.save may occur anywhere."""
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                assert not {"pickle", "dill", "cloudpickle", "joblib"} & {n.partition(".")[0] for n in names}, name
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
                assert node.attr not in {"load", "save"}, name


# What torch keeps to itself on its modules, tensors and optimisers; `__x__` and our own `_x` are other things.
TORCHS_OWN = {name for names in NAMES.values() for one in names for name in one.split(".") if name.startswith("_")}
OURS_TOO = {"_modules", "_parameters"}  # names that a class of ours may use for itself, on `self`


def private_names_of_torch(text: str) -> list[str]:
    """Return what a file names of torch's own: `torch.x._y`, an import of `_y`, an attribute or string of the list."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            dotted = ast.unparse(node)
            first, *rest = dotted.split(".")
            ours = first == "self" and (node.attr in OURS_TOO or len(rest) == 1)
            inside = first in ("torch", "nn", "F", "distributed") and node.attr.startswith("_")
            if (inside and not node.attr.startswith("__")) or (node.attr in TORCHS_OWN and not ours):
                found.append(dotted)
        elif isinstance(node, ast.Constant) and node.value in TORCHS_OWN:
            found.append(node.value)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "torch":
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            found += [name for name in names if name.startswith("_")]
    return found


def test_private_names_of_torch_are_in_one_file() -> None:
    wrong = {
        name: found
        for name, path in modules().items()
        if name != "machine.torch_private" and (found := private_names_of_torch(path.read_text()))
    }
    assert not wrong, "import it from machine/torch_private.py"


@pytest.mark.parametrize(
    "line",
    [
        "torch._foreach_mul_(a, 2)",
        "torch._C._len_torch_function_stack()",
        "from torch._C import default_generator",
        "from torch.nn import _reduction",
        "layer._forward_hooks.clear()",
        "getattr(layer, '_backward_hooks')",
        "layer._modules['a']",
    ],
)
def test_a_private_name_of_torch_would_be_found(line: str) -> None:
    assert private_names_of_torch(line)


def test_public_functions_do_not_bear_a_packages_name() -> None:
    assert not set(FLAT) & set(PACKAGES)


def test_the_map_can_find_an_upward_import(tmp_path: Path) -> None:
    """The test itself can fail: an import from below is seen, deferred or not."""
    module = tmp_path / "errors.py"
    module.write_text("def f():\n    from threegen.training.fit import fit\n")
    assert imports_of(module, {"training.fit"}) == {"training.fit"}
    assert imports_of(module, {"training.fit"}, top_level_only=True) == set()
