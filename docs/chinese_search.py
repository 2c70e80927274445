"""The offline search of the Chinese pages.

Chinese has no spaces between words. A run of Chinese characters is therefore indexed by its single characters and by
its pairs of neighbouring characters, and the browser splits a query in the same way. Words in Latin letters are
stemmed as in English. Sphinx's own Chinese search needs the package jieba, and its stemmer has another name in
JavaScript than in the page that calls it.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.search.en import SearchEnglish

RUNS = re.compile(r"[\u4e00-\u9fff]+|[^\W\u4e00-\u9fff]+")
SPLIT_QUERY = r"""
var splitQuery = (query) =>
  (query.match(/[\u4e00-\u9fff]+|(?:(?![\u4e00-\u9fff])[\p{L}\p{N}_])+/gu) || []).flatMap((run) =>
    /[\u4e00-\u9fff]/.test(run) && run.length > 2
      ? Array.from({ length: run.length - 1 }, (_, start) => run.slice(start, start + 2))
      : [run],
  );
"""


def terms(text: str) -> list[str]:
    """Return the search terms of a text: words, and of each run of Chinese its characters and neighbouring pairs."""
    found: list[str] = []
    for run in RUNS.findall(text):
        if "\u4e00" <= run[0] <= "\u9fff":
            found += [*run, *(run[start : start + 2] for start in range(len(run) - 1))]
        else:
            found.append(run)
    return found


class ChineseSearch(SearchEnglish):
    """Single characters and pairs of Chinese, stemmed words of English."""

    lang = "zh"
    js_splitter_code = SPLIT_QUERY

    def split(self, input: str) -> list[str]:
        """Return the search terms of a text."""
        return terms(input)


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_search_language(ChineseSearch)
    return {"parallel_read_safe": True}
