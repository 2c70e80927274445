"""Tables as text with aligned columns, and as HTML for a notebook."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from threegen.plots import escape


def text_table(lines: Sequence[Sequence[str]], *, right: Collection[int] = (), total: bool = True) -> str:
    """Return rows of cells as aligned lines: the first is the header; with `total`, a line separates the last row.

    The columns numbered in `right` are aligned to the right.
    """
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    rule = "-" * len(text[0])
    body = [*text[1:-1], rule, text[-1]] if total else text[1:]
    return "\n".join(line.rstrip() for line in (text[0], rule, *body))


def html_table(
    lines: Sequence[Sequence[str]],
    *,
    right: Collection[int] = (),
    total: bool = True,
    caption: str = "",
    note: str = "",
) -> str:
    """Return rows of cells as an HTML table (see `text_table`), with a `caption` above and a `note` below."""

    def cells(line: Sequence[str], kind: str) -> str:
        return "".join(
            f'<{kind} style="text-align:{"right" if column in right else "left"}">{escape(cell)}</{kind}>'
            for column, cell in enumerate(line)
        )

    body, foot = (lines[1:-1], lines[-1]) if total else (lines[1:], None)
    parts = [f"<caption>{escape(caption)}</caption>" if caption else ""]
    parts += [f"<thead><tr>{cells(lines[0], 'th')}</tr></thead>"]
    parts += ["<tbody>", *(f"<tr>{cells(line, 'td')}</tr>" for line in body), "</tbody>"]
    parts += [f"<tfoot><tr>{cells(foot, 'th')}</tr></tfoot>" if foot is not None else ""]
    return f"<table>{''.join(parts)}</table>" + (f"<p>{escape(note)}</p>" if note else "")
