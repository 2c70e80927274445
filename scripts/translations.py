"""Keep the Chinese text of the documentation in step with the English sources.

python scripts/translations.py # list what is untranslated, fuzzy or stale; exit code 1 if anything is python
scripts/translations.py --update # first bring new and changed messages into docs/locale (make translations)

Translated are the Start page and the lessons. The catalogues are gettext files that any editor for them opens.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import jupytext
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
LANGUAGE = "zh_CN"
CATALOGUES = ROOT / "docs" / "locale" / LANGUAGE / "LC_MESSAGES"
MARKDOWN = MarkdownIt("commonmark").enable("table")
CODE = re.compile(r"`[^`]+`")


class Message(NamedTuple):
    """One entry of a catalogue."""

    text: str
    translation: str
    fuzzy: bool


def sources() -> dict[str, str]:
    """Return the Markdown text of every translated page by the name of its catalogue, without `.po`."""
    found = {name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("index", "start")}
    found["generated/lessons/index"] = (ROOT / "lessons" / "README.md").read_text()
    for path in sorted((ROOT / "lessons").glob("[0-9]*.py")):
        cells = [cell.source for cell in jupytext.read(path).cells if cell.cell_type == "markdown"]
        found[f"generated/lessons/{path.stem}"] = "\n\n".join(cells)
    return found


def messages(markdown: str) -> list[str]:
    """Return the messages that Sphinx offers for translation, as single lines.

    These are paragraphs, headings, items, cells, the captions of tables of contents and the descriptions of pictures.
    """
    inline = [token for token in MARKDOWN.parse(markdown) if token.type == "inline"]
    found = [token.content for token in inline] + re.findall(r"^:caption: (.*)$", markdown, re.MULTILINE)
    found += [child.content for token in inline for child in token.children or () if child.type == "image"]
    return [" ".join(text.split()) for text in found]


def read(path: Path) -> list[Message]:
    """Return the entries of a gettext catalogue, without its header; obsolete ones are stale and raise ValueError."""
    found = []
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        if "\n#~ " in f"\n{block}":
            raise ValueError(f"{path}: remove the obsolete entries, which start with #~")
        parts = {"msgid": "", "msgstr": ""}
        key = ""
        for line in block.splitlines():
            word, _, rest = line.partition(" ")
            if word in parts:
                key, line = word, rest
            if key and line.startswith('"'):
                parts[key] += ast.literal_eval(line)
        if parts["msgid"]:
            flags = " ".join(line for line in block.splitlines() if line.startswith("#,"))
            found.append(Message(" ".join(parts["msgid"].split()), parts["msgstr"], "fuzzy" in flags))
    return found


def check(name: str, markdown: str) -> list[str]:
    """Return the faults of one catalogue as sentences; an empty list if there are none."""
    path = CATALOGUES / f"{name}.po"
    if not path.exists():
        return [f"{name}: there is no catalogue"]
    entries = {entry.text: entry for entry in read(path)}
    wanted = messages(markdown)
    faults = [f"{name}: missing in the catalogue: {text}" for text in wanted if text not in entries]
    for text, entry in entries.items():
        if text not in wanted and "{download}" not in text:  # the line of files that docs/pages.py adds to a lesson
            faults.append(f"{name}: stale, no longer in the English text: {text}")
        elif not entry.translation:
            faults.append(f"{name}: untranslated: {text}")
        elif entry.fuzzy:
            faults.append(f"{name}: fuzzy, check the translation and remove the mark: {text}")
        elif "{download}" not in text and sorted(CODE.findall(text)) != sorted(CODE.findall(entry.translation)):
            faults.append(f"{name}: the code in backticks differs: {text}")
    return faults


def update() -> None:
    """Bring new and changed messages of the English pages into the catalogues; needs Sphinx and sphinx-intl."""
    with tempfile.TemporaryDirectory() as folder:
        every, chosen = Path(folder) / "every", Path(folder) / "chosen"
        sphinx = [sys.executable, "-m", "sphinx", "-q", "-b", "gettext", str(ROOT / "docs"), str(every)]
        subprocess.run(sphinx, check=True)
        for name in sources():
            (chosen / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(every / f"{name}.pot", chosen / f"{name}.pot")
        locale = ["-p", str(chosen), "-d", str(ROOT / "docs" / "locale"), "-l", LANGUAGE, "--no-obsolete"]
        subprocess.run([sys.executable, "-m", "sphinx_intl", "update", *locale], check=True)


def main() -> int:
    """Update if asked to, then report; 1 if a message needs translation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="bring new and changed messages into the catalogues")
    if parser.parse_args().update:
        update()
    faults = [fault for name, markdown in sources().items() for fault in check(name, markdown)]
    sys.stdout.write("\n".join([*faults, f"{len(faults)} messages need a translator"]) + "\n")
    return int(bool(faults))


if __name__ == "__main__":
    raise SystemExit(main())
