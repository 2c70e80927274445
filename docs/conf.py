"""The documentation: Sphinx, MyST Markdown, the furo theme. `make docs` builds it offline; warnings are errors."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import threegen  # noqa: E402

project = "threegen"
author = "the threegen authors"
copyright = "the threegen authors"
version = release = threegen.__version__

extensions = ["myst_parser", "pages", "chinese_search"]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "locale", "_templates"]
nitpicky = True

html_theme = "furo"
html_title = "threegen"
html_static_path = ["_static"]
html_css_files = ["threegen.css"]
templates_path = ["_templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "language.html",  # the link to the same page in the other language
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_show_sourcelink = False
html_math_renderer = "mathml"  # drawn by the browser itself, offline

language = "en"  # `make docs` builds a second time with -D language=zh_CN
locale_dirs = ["locale"]
gettext_compact = False  # a catalogue per page
gettext_uuid = False
gettext_location = False  # a moved line changes no catalogue
