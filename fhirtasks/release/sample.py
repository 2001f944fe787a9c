"""A small, fair sample of a config's rows: what the card, the traces, the report and the floors are made from.

Every family gives in turn, its cases (branches, or kinds of mutant) one after the other, the splits rotating, so that
the first rows taken cover families and cases, and the splits evenly. It follows from the rows alone, and is as small for
a million of them as for a thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhirtasks.release.read import open_shard, row_group, shards_of
from fhirtasks.release.rows import integers, message_of, message_texts


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row is: ``row`` counts within the split, ``offset`` within the row group of the shard."""

    split: str
    row: int
    path: Path
    group: int
    offset: int


Cells = dict[str, dict[tuple[str, ...], dict[str, list[Place]]]]
"""Family -> case -> split -> its first rows."""


def sample(
    folder: Path,
    config: str,
    splits: Sequence[str],
    *,
    by: tuple[str, ...],
    limit: int,
    longest: int | None = None,
    budget: int | None = None,
    depth: int = 3,
    even: bool = False,
    columns: tuple[str, ...] | None = None,
) -> list[dict[str, Any]]:
    """At most ``limit`` rows, by split, family, case and row; each with its number in the split as ``row``.

    ``by`` are the columns that make a case. With ``longest`` or ``budget`` (characters of all messages of a row, of all
    rows) the first of a case's ``depth`` first rows that fits is taken. ``even`` takes as many rows of every family, not
    of every case. ``columns`` are read beside those of family and case, all of them unless given. :class:`DamagedShard`
    where a shard is damaged.
    """
    cells = _cells(folder, config, splits, by, depth)
    turns = list(_turns(cells, splits, limit, depth, even))
    if longest is None and budget is None:  # whatever comes first fits, and no two turns begin with the same row
        turns = [places[:1] for places in turns[:limit]]
    read = None if columns is None else ("family", *by, *columns)
    found = _fetch(folder, config, [place for turn in turns for place in turn], read)
    chosen: dict[Place, dict[str, Any]] = {}
    left = budget
    for turn in turns:
        for place in turn:
            length = characters(found[place])
            if place in chosen or (longest is not None and length > longest) or (left is not None and length > left):
                continue
            chosen[place] = found[place]
            left = None if left is None else left - length
            break
        if len(chosen) == limit:
            break

    def order(place: Place) -> tuple[Any, ...]:
        row = found[place]
        return splits.index(place.split), row["family"], *(row[name] for name in by), place.row

    return [chosen[place] | {"row": place.row} for place in sorted(chosen, key=order)]


def characters(row: dict[str, Any]) -> int:
    """Characters of all messages of a row."""
    lists = [value for value in row.values() if isinstance(value, list)]
    return sum(map(len, message_texts(message_of(message) for messages in lists for message in messages)))


def _cells(folder: Path, config: str, splits: Sequence[str], by: tuple[str, ...], depth: int) -> Cells:
    cells: Cells = {}
    for split in splits:
        first = 0
        for path in shards_of(folder, config, split):
            for group in range(open_shard(folder, path, config).num_row_groups):
                table = row_group(folder, path, config, group, ("family", *by))
                families, *cases = (table.column(name).to_pylist() for name in ("family", *by))
                for offset, (family, *case) in enumerate(zip(families, *cases, strict=True)):
                    places = cells.setdefault(family, {}).setdefault(tuple(case), {}).setdefault(split, [])
                    if len(places) < depth:
                        places.append(Place(split, first + offset, path, group, offset))
                first += len(families)
    return cells


def _turns(cells: Cells, splits: Sequence[str], limit: int, depth: int, even: bool) -> Iterator[list[Place]]:
    """Whose turn it is: each time the rows of one cell that may be taken. Not many more than ``limit`` are needed."""
    turns = []
    for family in sorted(cells):
        cases = sorted(cells[family])
        for number, case in enumerate(cases):
            mine = cells[family][case]
            having = [
                split for offset in range(len(splits)) if (split := splits[(number + offset) % len(splits)]) in mine
            ]
            for turn in range(depth * len(having)):
                places = mine[having[turn % len(having)]][turn // len(having) :]
                if places:
                    when = (turn * len(cases) + number, 0) if even else (turn, number)
                    turns.append((when, family, places))
    turns.sort(key=lambda one: one[:2])
    return (places for _, _, places in turns[: 2 * limit])


def _fetch(
    folder: Path, config: str, places: Sequence[Place], columns: tuple[str, ...] | None
) -> dict[Place, dict[str, Any]]:
    """The rows at these places; every row group is read once."""
    groups: dict[tuple[Path, int], list[Place]] = {}
    for place in dict.fromkeys(places):
        groups.setdefault((place.path, place.group), []).append(place)
    found: dict[Place, dict[str, Any]] = {}
    for (path, group), mine in groups.items():
        table = row_group(folder, path, config, group, columns)
        found.update(zip(mine, table.take(integers([place.offset for place in mine])).to_pylist(), strict=True))
    return found
