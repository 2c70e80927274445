"""The documentation's examples run, its links lead somewhere, and every page is in the table of contents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).parents[2] / "docs"
RUNNABLE = (
    "start.md",
    "how-to.md",
    "looking-inside.md",
    "counting.md",
    "interchange.md",
)  # pages whose examples are made to take seconds; others are tested by their subject
PAGES = sorted(DOCS.glob("*.md"))


@pytest.mark.parametrize("name", RUNNABLE)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of a page build on each other; what they write goes to a folder of the test."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with torch.random.fork_rng():
        for block in re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL):
            exec(compile(block, name, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if target.startswith("generated/lessons/"):
            stem = Path(target).stem
            assert stem == "index" or (DOCS.parent / "lessons" / f"{stem}.py").exists(), target
        elif not target.startswith(("http", "generated/")):
            assert (DOCS / target).exists(), target


def test_every_page_is_in_the_table_of_contents() -> None:
    index = (DOCS / "index.md").read_text()
    listed = {
        line.strip() for block in re.findall(r"```{toctree}(.*?)```", index, re.DOTALL) for line in block.split("\n")
    }
    assert {page.stem for page in PAGES} - {"index"} <= listed


def test_no_page_has_the_name_of_a_page_that_sphinx_writes() -> None:
    """Sphinx writes its search page and its index over a page of that name."""
    assert not {"search", "genindex", "modindex"} & {page.stem for page in PAGES}


def test_every_study_is_in_the_gallery_with_a_picture() -> None:
    """A new study: threegen study NAME --quick, then copy one SVG to docs/gallery/NAME-PICTURE.svg."""
    from threegen.studies.registry import all_studies

    pictures = [path.stem for path in (DOCS / "gallery").iterdir()]
    bare = [name for name in all_studies() if not any(f"{stem}-".startswith(f"{name}-") for stem in pictures)]
    assert not bare


def test_every_public_name_has_a_docstring_for_its_page() -> None:
    import threegen
    from threegen.names import NAMESPACES

    bare = [
        f"{namespace}.{name}"
        for namespace, modules in NAMESPACES.items()
        for names in modules.values()
        for name in names
        if callable(getattr(getattr(threegen, namespace), name))
        and not getattr(getattr(threegen, namespace), name).__doc__
    ]
    assert not bare
