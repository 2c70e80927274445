"""Write the table of published figures into README.md, from reproduction/*.json: python scripts/readme_figures.py"""

from __future__ import annotations

from pathlib import Path

from threegen.figures.reproduce import figures_markdown
from threegen.training.persistence.files import write_whole

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- figures: written by scripts/readme_figures.py -->\n", "<!-- end of figures -->\n"


def main() -> None:
    """Replace the text between the two marks."""
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    write_whole(readme, before + BEGIN + figures_markdown(ROOT / "reproduction") + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
