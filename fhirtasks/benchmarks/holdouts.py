"""Reads what is held out, from whatever it is given as: a benchmark's own file, or any file or Hub dataset.

The format is told from the content, never from the name. Known are MedAgentBench's task files, FHIR-AgentBench's and
MedCalc-Bench's tables and TREC's clinical-trials topics; everything else is read by the shape of its values
(:mod:`fhirtasks.benchmarks.shapes`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from fhirtasks.benchmarks import fhir_agentbench, medcalc, trec
from fhirtasks.benchmarks.files import rows
from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.benchmarks.hub import hub_rows, is_hub
from fhirtasks.benchmarks.kinds import encoding_of, kind_of, opened
from fhirtasks.benchmarks.phrases import addresses_in, identifiers_in, parameters_in, phones_in
from fhirtasks.benchmarks.shapes import held_out
from fhirtasks.errors import UserError
from fhirtasks.population.taskfile import identifiers, people, read_rows

SEALED: Final = "sealed"
"""The member that a sealed holdout file has and no other."""
SHARED: Final = 3
"""A text that so many rows repeat is a benchmark's boilerplate (a system prompt, a general question), not a case."""


def read_heldout(source: str | Path) -> Iterator[HeldOut]:
    """The held-out items of a file, of all files of a folder, or of ``hub:org/name[@revision][:config[:split]]``.

    UserError names the source, the row and the reason where something cannot be read, and where nothing is held out.
    """
    name = str(source)
    if is_hub(source):
        found: Iterator[HeldOut] = _tables(name, enumerate(hub_rows(name), 1))
    else:
        path = Path(source)
        if read_sealed(path) is not None:
            raise UserError(f"{path} is sealed, and what it holds out cannot be read; give it to an audit.")
        found = _folder(path) if path.is_dir() else _file(path, path.name)
    items = _without_boilerplate(list(found))
    if not items:
        raise UserError(f"{name} holds nothing out: it has no row with content; give a benchmark's tasks or questions.")
    return iter(items)


def read_sealed(source: str | Path) -> dict[str, Any] | None:
    """A sealed holdout file as its JSON value; None for a source of any other kind."""
    path = Path(source)
    if is_hub(source) or not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(1 << 12)
        if not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") or b'"' + SEALED.encode() not in head:
            return None
        file.seek(0)
        try:
            values = list(rows(file, "json", str(path), strict=True))
        except UserError:
            return None
    value = values[0] if len(values) == 1 else None
    return value if isinstance(value, dict) and SEALED in value else None


def _folder(folder: Path) -> Iterator[HeldOut]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(part.startswith(".") for part in Path(name).parts):
            yield from _file(path, name)


def _file(path: Path, name: str) -> Iterator[HeldOut]:
    try:
        with path.open("rb") as raw:
            file, head = opened(raw)
            kind, encoding = kind_of(name, head), encoding_of(head)
            if not head.strip():
                raise UserError(f"{path} is empty; give a benchmark's tasks or questions.")
            if kind is None:
                raise UserError(f"{path} is neither text, JSON, CSV, XML, Parquet nor Arrow; give one of these.")
            if kind == "xml":
                yield from trec.read(path, name, file.read())
            elif kind == "text" and _is_table(head):
                yield from _tables(name, enumerate(rows(file, "csv", str(path), strict=True, encoding=encoding), 1))
            elif kind == "text":
                yield from _texts(path, name, file.read())
            elif kind in ("json", "jsonl") and _is_tasks(head):
                yield from _tasks(path, name)
            else:
                values = rows(file, kind, str(path), strict=True, encoding=encoding)
                yield from _tables(name, enumerate(_unwrapped(values) if kind in ("json", "jsonl") else values, 1))
    except (EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}); give the whole file, in UTF-8.") from None
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}; check the path.") from None


def _is_tasks(head: bytes) -> bool:
    """MedAgentBench's rows, by the members that its first one has."""
    return all(f'"{name}"'.encode() in head for name in ("id", "instruction")) and (
        b'"eval_MRN"' in head or b'"sol"' in head
    )


def _is_table(head: bytes) -> bool:
    """A known benchmark's header in a file that is not named as a table."""
    names = set(head.decode("utf-8-sig", "ignore").split("\n", 1)[0].strip().split(","))
    return names >= fhir_agentbench.COLUMNS or names >= medcalc.COLUMNS


def _tasks(path: Path, name: str) -> Iterator[HeldOut]:
    """MedAgentBench's tasks. Their context is the same for a whole family, so it identifies nobody and is left out."""
    tasks = read_rows(path)
    known = set(identifiers(tasks))
    for task in tasks:
        stated = [word for word in re.findall(r"[\w-]+", task.instruction) if word in known]
        own = dict.fromkeys(
            [*([task.record] if task.record else []), *stated, *(a for a in task.answers if a in known)]
        )
        who = people(task)
        answer = ", ".join(task.answers) if task.answers else None
        facts = [*parameters_in(task.instruction), *(who_.name for who_ in who)]
        yield HeldOut(
            source=name,
            id=task.id,
            texts=(task.instruction.strip(),),
            identifiers=tuple(own),
            people=tuple(who),
            phones=tuple(phones_in(task.instruction)),
            addresses=tuple(addresses_in(task.instruction)),
            parameters=tuple(dict.fromkeys([*stated, *facts])),
            answer=answer,
        )


def _tables(name: str, numbered: Iterator[tuple[int, Any]]) -> Iterator[HeldOut]:
    """Rows of a table; the first one's columns tell whose it is."""
    read: Callable[[str, int, Any], HeldOut | None] | None = None
    for number, row in numbered:
        if read is None:
            columns = set(row) if isinstance(row, Mapping) else set()
            read = held_out
            for benchmark in (fhir_agentbench, medcalc):
                if columns >= benchmark.COLUMNS:
                    read = benchmark.held_out
        item = read(name, number, row)
        if item is not None:
            yield item


def _texts(path: Path, name: str, data: bytes) -> Iterator[HeldOut]:
    """One item per line; a text with empty lines between is one item, such as a note."""
    text = data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    whole = re.search(r"\S[^\S\n]*\r?\n[^\S\n]*\r?\n\s*\S", text) is not None
    for number, part in enumerate([text] if whole else text.splitlines(), 1):
        item = held_out(name, number, part.strip())
        if item is not None:
            yield replace(item, texts=(part.strip(),)) if not identifiers_in(part) or item.texts else item


def _unwrapped(values: Iterator[Any]) -> Iterator[Any]:
    """The rows of an object that only wraps a list of them, as ``{"data": [...]}`` does."""
    first = next(values, None)
    second = next(values, None)
    if second is not None or not isinstance(first, dict) or "resourceType" in first:
        yield from (value for value in (first, second) if value is not None)
        yield from values
        return
    lists = [item for item in first.values() if isinstance(item, list) and item and isinstance(item[0], dict)]
    yield from max(lists, key=len) if lists and _is_wrapper(first) else [first]


def _is_wrapper(value: dict[str, Any]) -> bool:
    """True for an object that says of itself no more than its name, version and the like: no text of its own."""
    others = [item for item in value.values() if not isinstance(item, list)]
    return not any(isinstance(item, str) and len(item.split()) > 12 for item in others) and not (
        value.keys() & {"messages", "prompt", "conversations", "question", "instruction"}
    )


def _without_boilerplate(items: list[HeldOut]) -> list[HeldOut]:
    """Items without the texts that several of them share, where they keep something else that tells them apart."""
    counts = Counter(text for item in items for text in set(item.texts))
    kept = []
    for item in items:
        own = tuple(text for text in item.texts if counts[text] < SHARED)
        others = own or item.identifiers or item.people or item.resources or item.answer is not None
        kept.append(replace(item, texts=own) if others and len(own) < len(item.texts) else item)
    return kept
