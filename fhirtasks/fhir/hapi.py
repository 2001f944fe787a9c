"""JSON text laid out as HAPI FHIR prints it: two spaces per level, arrays opened as ``[ {``, numbers and strings
untouched."""

from __future__ import annotations

import re

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def pretty(text: str) -> str:
    """Lays out minified or any other JSON text. Objects in arrays stand as ``[ {`` … ``}, {`` … ``} ]``, scalars as
    ``[ 1, 2 ]``."""
    out: list[str] = []
    add = out.append
    newlines = ["\n"]
    objects: list[bool] = []  # the open brackets: True for an object
    depth = 0
    previous = ""
    for token in _TOKEN.findall(text):
        if token == "{":
            depth += 1
            if len(newlines) <= depth:
                newlines.append("\n" + "  " * depth)
            objects.append(True)
            add("{")
        elif token == "}":
            depth -= 1
            objects.pop()
            add(" }" if previous == "{" else newlines[depth] + "}")
        elif token == "[":
            objects.append(False)
            add("[ ")
        elif token == "]":
            objects.pop()
            add("]" if previous == "[" else " ]")
        elif token == ",":
            add("," + newlines[depth] if objects[-1] else ", ")
        elif token == ":":
            add(": ")
        else:
            if previous == "{":
                add(newlines[depth])
            add(token)
        previous = token
    return "".join(out)


def indented(text: str, levels: int) -> str:
    """Printed text as it stands ``levels`` deep inside another (line breaks in JSON text are layout, never content)."""
    return text.replace("\n", "\n" + "  " * levels)
