"""Text of others as Markdown that says exactly that text: names, notes and records may hold anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_\[\]|~$<>&])")
_TICKS = re.compile(r"`+")


def visible(text: str) -> str:
    """The text with everything that cannot be seen, or turns the direction of writing, as ``\\uXXXX``."""
    return "".join(
        one if one.isprintable() or one == "\n" else "".join(f"\\u{unit:04x}" for unit in _units(one)) for one in text
    )


def plain(text: str) -> str:
    """The text within a line of a paragraph, a list or a table cell: one line, nothing in it is markup."""

    def escaped(match: re.Match[str]) -> str:
        return {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(match[1], f"\\{match[1]}")

    return _SPECIAL.sub(escaped, visible(" ".join(text.split())))


def code(text: str) -> str:
    """The text as a code span, fit for a table cell."""
    line = visible(" ".join(text.split())).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in _TICKS.findall(line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def block(text: str, language: str = "text") -> str:
    """The text as a fenced block; no run of backticks in it ends it."""
    shown = visible(text)
    fence = "`" * max(3, 1 + max((len(run) for run in _TICKS.findall(shown)), default=0))
    return f"{fence}{language}\n{shown}\n{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A table of cells that are Markdown already; columns after the first ``left`` are numbers and stand right."""
    rules = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rules, *rows))


def _units(one: str) -> list[int]:
    data = one.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[place : place + 2], "big") for place in range(0, len(data), 2)]
