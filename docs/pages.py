"""A Sphinx extension that writes pages from the project itself: lessons with their output, reference, figures.

The pages lie in `docs/generated/`, which git ignores. A lesson that fails stops the build.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import re
import textwrap
from pathlib import Path
from typing import Any

import docutils.nodes
import jupytext
import torch
from latex2mathml.converter import convert

import threegen
from threegen.figures.reproduce import figures_markdown
from threegen.names import NAMESPACES
from threegen.studies.registry import all_studies

ROOT = Path(__file__).parents[1]
GENERATED = Path(__file__).parent / "generated"
LOCALE = Path(__file__).parent / "locale"
UNTRANSLATED = {"zh_CN": "本页尚无中文译文，以下为英文原文。"}
ANSI = re.compile(r"\x1b\[[0-9;]*m")
MODULES = re.compile(r"\b(?:threegen|torch|collections|typing)(?:\.\w+)*\.(\w+)")
LONGEST_DEFAULT = 60
WIDEST = 88  # characters of a signature on one line


def write(name: str, text: str) -> None:
    """Write a page if its text has changed, so that Sphinx rebuilds only what is new."""
    path = GENERATED / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def toctree(entries: list[str], depth: int = 1) -> str:
    """Return a MyST table of contents."""
    return "```{toctree}\n:maxdepth: " + str(depth) + "\n\n" + "\n".join(entries) + "\n```\n"


def lesson_page(path: Path) -> str:
    """Return a lesson as Markdown: its text, its code, and what each cell prints when it is run here."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    parts = []
    for cell in jupytext.read(path).cells:
        if cell.cell_type == "markdown":
            parts.append(re.sub(r"^# \d+\. ", f"# {int(path.stem[:2])}. ", cell.source))
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(cell.source, str(path), "exec"), scope)
        parts.append(f"```python\n{cell.source}\n```")
        if output := ANSI.sub("", printed.getvalue()).rstrip():
            parts.append(f"```text\n{output}\n```")
    parts.append(
        f"{{download}}`The lesson as a script <../../../lessons/{path.name}>`, "
        f"{{download}}`as a notebook <notebooks/{path.stem}.ipynb>`."
    )
    return "\n\n".join(parts) + "\n"


def write_lessons() -> None:
    """Write a page and a notebook per lesson, and the list of them."""
    names = []
    for path in sorted((ROOT / "lessons").glob("[0-9]*.py")):
        notebook = GENERATED / "lessons" / "notebooks" / f"{path.stem}.ipynb"
        notebook.parent.mkdir(parents=True, exist_ok=True)
        page = GENERATED / "lessons" / f"{path.stem}.md"
        if not page.exists() or page.stat().st_mtime < path.stat().st_mtime:
            with torch.random.fork_rng():
                write(f"lessons/{path.stem}.md", lesson_page(path))
            page.touch()
            jupytext.write(jupytext.read(path), notebook)
        names.append(path.stem)
    intro = (ROOT / "lessons" / "README.md").read_text()
    write("lessons/index.md", intro + "\n" + toctree(names))


def parameter(found: inspect.Parameter) -> str:
    """Return one parameter with its annotation and its default value; a default that is long or not Python is `...`."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(found.kind, "")
    shown = stars + found.name
    if found.annotation is not found.empty:
        shown += f": {annotation(found.annotation)}"
    if found.default is not found.empty:
        default = MODULES.sub(r"\1", repr(found.default))
        shown += " = " + (default if len(default) <= LONGEST_DEFAULT and "<" not in default else "...")
    return shown


def annotation(found: Any) -> str:
    """Return an annotation without module names and quotes."""
    text = found if isinstance(found, str) else inspect.formatannotation(found)
    return MODULES.sub(r"\1", text).replace("'", "")


def signature(value: Any, width: int | None = None) -> str:
    """Return a call's signature, with one parameter per line if it is wider than `width`; '()' if there is none."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return "()"
    shown: list[str] = []
    for one in found.parameters.values():
        if one.kind is one.KEYWORD_ONLY and not any(text.startswith("*") for text in shown):
            shown.append("*")
        shown.append(parameter(one))
    returned = "" if found.return_annotation is found.empty else f" -> {annotation(found.return_annotation)}"
    line = f"({', '.join(shown)}){returned}"
    if width is None or len(line) <= width:
        return line
    return "(\n" + "".join(f"    {text},\n" for text in shown) + f"){returned}"


def body(value: Any) -> str:
    """Return a docstring as Markdown: indented blocks are code, and words in single backticks already are."""
    text = inspect.getdoc(value) or ""
    lines, out, code = text.splitlines(), [], False
    for at, line in enumerate(lines):
        indented = line.startswith("    ")
        if indented and not code and (at == 0 or not lines[at - 1].strip() or not lines[at - 1].startswith("    ")):
            out.append("\n```text")
            code = True
        elif code and line.strip() and not indented:
            out.append("```\n")
            code = False
        out.append(line[4:] if code and indented else line.replace("$", "\\$") if not code else line)
    return "\n".join([*out, "```\n"] if code else out)


def examples(namespace: str) -> dict[str, str]:
    """Return the cells of docs/examples/NAMESPACE.py: the setup, and the example of each public name."""
    path = Path(__file__).parent / "examples" / f"{namespace}.py"
    found = {}
    for names, code in re.findall(r"^# %% ([\w, ]+)\n(.*?)(?=^# %% |\Z)", path.read_text(), re.MULTILINE | re.DOTALL):
        found.update(dict.fromkeys(names.split(", "), code.strip()))
    return found


def entry(namespace: str, name: str, value: Any) -> str:
    """Return the reference of one public name."""
    kind = "class" if inspect.isclass(value) else "function" if callable(value) else "data"
    title = f"tg.{namespace}.{name}"
    shown = f"{title}{signature(value, WIDEST - len(title))}" if kind != "data" else title
    parts = [f"## {name}\n", f"```python\n{shown}\n```\n"]
    parts.append(body(value))
    if inspect.isclass(value):
        for method in vars(value):
            if method.startswith("_") or not callable(getattr(value, method, None)):
                continue
            text = body(getattr(value, method))
            if text:
                parts.append(f"\n**`{method}{signature(getattr(value, method))}`**\n\n" + textwrap.dedent(text) + "\n")
    return "\n".join(part for part in parts if part) + "\n"


def write_reference() -> None:
    """Write a page per namespace with every public name, from its docstring."""
    pages = []
    for namespace, modules in sorted(NAMESPACES.items()):
        home = getattr(threegen, namespace)
        names = sorted({name for found in modules.values() for name in found})
        text = f"# `tg.{namespace}`\n\n{inspect.getdoc(home) or ''}\n\n"
        shown = examples(namespace)
        text += f"Each example below begins with:\n\n```python\n{shown['setup']}\n```\n\n"
        for name in names:
            text += entry(namespace, name, getattr(home, name)) + "\n"
            if name in shown:
                text += f"**Example**\n\n```python\n{shown[name]}\n```\n\n"
        write(f"reference/{namespace}.md", text)
        pages.append(namespace)
    write("reference/index.md", "# Reference\n\nEvery public name, from its docstring.\n\n" + toctree(pages, 2))


def pictures_of(study: str) -> list[Path]:
    """Return the committed pictures of a study: docs/gallery/STUDY.svg or docs/gallery/STUDY-PICTURE.svg."""
    folder = ROOT / "docs" / "gallery"
    return sorted(path for path in folder.iterdir() if path.stem == study or path.stem.startswith(f"{study}-"))


def write_gallery() -> None:
    """Write the gallery: every study with what it shows and its pictures."""
    text = "# Gallery\n\nEvery study of the package: `threegen study NAME` runs it and draws its pictures.\n\n"
    for name, study in all_studies().items():
        text += f"## {study.title}\n\n{study.about}\n\n`threegen study {name}` — {study.source}\n\n"
        for picture in pictures_of(name):
            text += f"![{study.title}](../gallery/{picture.name})\n\n"
    write("gallery.md", text)


def write_figures() -> None:
    """Write the table of published figures, and what each record notes about itself."""
    text = "# Published figures, reproduced\n\n`threegen reproduce NAME` repeats one; its record is a JSON file.\n\n"
    text += figures_markdown(ROOT / "reproduction") + "\n"
    for path in sorted((ROOT / "reproduction").glob("*.json")):
        record = json.loads(path.read_text())
        text += f"\n## {record['name']}\n\n{record['paper']}. {record.get('note', '')}\n"
    write("figures.md", text)


def write_changes() -> None:
    """Write the changelog: the released part, then the fragments of the next release."""
    log = ROOT / "CHANGELOG.md"
    text = log.read_text() if log.exists() else "# Changelog\n"
    fragments = [path for path in sorted((ROOT / "changes").glob("*.md")) if path.name != "README.md"]
    if fragments:
        text += "\n## Not released yet\n\n" + "\n".join(f"- {one(path)}" for path in fragments) + "\n"
    write("changelog.md", text)


def one(path: Path) -> str:
    """Return a fragment as one item of a list."""
    return textwrap.indent(path.read_text().strip(), "  ").strip()


def generate(app: Any) -> None:
    """Write all generated pages."""
    write_lessons()
    write_reference()
    write_gallery()
    write_figures()
    write_changes()


def mark_untranslated(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Say at the top of a page in English that it is not translated, in the site of another language."""
    language = app.config.language
    if language != "en" and doctree is not None and not (LOCALE / language / "LC_MESSAGES" / f"{pagename}.po").exists():
        context["body"] = f'<div class="admonition note"><p>{UNTRANSLATED[language]}</p></div>{context["body"]}'


def visit_inline(self: Any, node: Any) -> None:
    """Write an inline formula as MathML, which browsers draw by themselves, offline."""
    self.body.append(convert(node.astext()))
    raise docutils.nodes.SkipNode


def visit_block(self: Any, node: Any) -> None:
    """Write a displayed formula as MathML."""
    self.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise docutils.nodes.SkipNode


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", generate)
    app.connect("html-page-context", mark_untranslated)
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True}
