"""Names from callers, of agents, methods and groups, made harmless for whoever shows them."""

import unicodedata
from typing import Final

BREAKS: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})  # Unicode categories: controls, line ends
TURNS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # of direction
HTML: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
MARKUP: Final = frozenset("\\`*_[]|~$#")


def plain(text: str) -> str:
    """On one line: spaces for whatever moves a cursor or turns the direction of writing."""
    return "".join(
        " " if unicodedata.category(each) in BREAKS or each in TURNS else each for each in text
    )


def markdown(text: str) -> str:
    """As text of Markdown, with no markup, link, formula or HTML in it."""
    return "".join(f"\\{each}" if each in MARKUP else HTML.get(each, each) for each in plain(text))
