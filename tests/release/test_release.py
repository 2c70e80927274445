"""A release: the version has one place, and fragments of changes become a section of the changelog."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import threegen

ROOT = Path(__file__).parents[2]


def test_the_version_has_one_place() -> None:
    """pyproject.toml reads it from the package; what names the release for people says the same."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "threegen.__version__"}
    released = threegen.__version__.partition(".dev")[0]
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited is not None
    assert cited[1] == released
    for page in ("README.md", "docs/start.md"):
        assert f"threegen-{released}-py3-none-any.whl" in (ROOT / page).read_text()


def test_fragments_become_a_section_of_the_changelog(tmp_path: Path) -> None:
    (tmp_path / "changes").mkdir()
    (tmp_path / "src/threegen").mkdir(parents=True)
    (tmp_path / "src/threegen/__init__.py").write_text('__version__ = "2.0.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\nWhat changed.\n\n## 1.0.0 (2026-01-01)\n\n- Old.\n")
    (tmp_path / "changes/README.md").write_text("stays\n")
    (tmp_path / "changes/b.md").write_text("Second,\nover two lines.\n")
    (tmp_path / "changes/a.md").write_text("- First.\n- Also first.\n")
    command = [sys.executable, str(ROOT / "scripts/gather_changes.py"), "--root", str(tmp_path), "--date", "2026-02-03"]
    subprocess.run(command, check=True)
    new = "## 2.0.0 (2026-02-03)\n\n- First.\n- Also first.\n- Second,\n  over two lines.\n\n"
    expected = f"# Changelog\n\nWhat changed.\n\n{new}## 1.0.0 (2026-01-01)\n\n- Old.\n"
    assert (tmp_path / "CHANGELOG.md").read_text() == expected
    assert [path.name for path in (tmp_path / "changes").iterdir()] == ["README.md"]
    (tmp_path / "changes/c.md").write_text("Late.\n")
    subprocess.run([*command[:-1], "2026-02-04"], check=True)  # a late fragment joins the section of its version
    assert (tmp_path / "CHANGELOG.md").read_text() == expected.replace("\n- First.", "\n- Late.\n- First.")
