"""The Chinese Start page and lessons are complete and in step with the English text."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def load() -> ModuleType:
    found = importlib.util.spec_from_file_location("translations", ROOT / "scripts" / "translations.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


TRANSLATIONS = load()
SOURCES = TRANSLATIONS.sources()


@pytest.mark.parametrize("name", SOURCES, ids=lambda name: name.rpartition("/")[2])
def test_no_message_is_missing_untranslated_fuzzy_or_stale(name: str) -> None:
    """Where a page has changed: make translations, then translate what it names."""
    assert TRANSLATIONS.check(name, SOURCES[name]) == []


@pytest.mark.parametrize("name", SOURCES, ids=lambda name: name.rpartition("/")[2])
def test_bold_text_is_bold_in_the_translation(name: str) -> None:
    """Markdown reads ** between a Chinese comma or stop and a letter as two stars."""
    for entry in TRANSLATIONS.read(TRANSLATIONS.CATALOGUES / f"{name}.po"):
        shown = TRANSLATIONS.MARKDOWN.render(entry.translation)
        assert "**" not in shown, entry.translation
        first = TRANSLATIONS.MARKDOWN.parse(entry.translation)[0].type
        assert first == "paragraph_open", f"write 13\\. for a title that begins with a number: {entry.translation}"


def test_every_catalogue_belongs_to_a_page() -> None:
    found = {str(path.relative_to(TRANSLATIONS.CATALOGUES).with_suffix("")) for path in _catalogues()}
    assert found == set(SOURCES)


def _catalogues() -> list[Path]:
    return sorted(TRANSLATIONS.CATALOGUES.rglob("*.po"))


CATALOGUE = """
msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"

msgid "A kept line"
msgstr "\u4e00\u884c"

{extra}
"""
FAULTS = {
    'msgid "Another line"\nmsgstr ""': "untranslated: Another line",
    '#, fuzzy\nmsgid "Another line"\nmsgstr "\u53e6"': "fuzzy, check the translation and remove the mark: Another line",
    'msgid "An old line"\nmsgstr "\u65e7"': "stale, no longer in the English text: An old line",
    "": "missing in the catalogue: Another line",
    'msgid ""\n"Another "\n"line"\nmsgstr "`x`"': "the code in backticks differs: Another line",
}


@pytest.mark.parametrize("extra", FAULTS, ids=list(FAULTS.values()))
def test_each_fault_is_found(extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TRANSLATIONS, "CATALOGUES", tmp_path)
    (tmp_path / "page.po").write_text(CATALOGUE.format(extra=extra), encoding="utf-8")
    faults = TRANSLATIONS.check("page", "A kept\nline\n\nAnother line\n")
    assert f"page: {FAULTS[extra]}" in faults


def test_an_obsolete_entry_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.po").write_text(CATALOGUE.format(extra='#~ msgid "gone"\n#~ msgstr "x"'), encoding="utf-8")
    with pytest.raises(ValueError, match="obsolete"):
        TRANSLATIONS.read(tmp_path / "page.po")
