"""What two splits of a release share: asserted on contents, not on ids, from the rows and charts alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import IO, Any, Final, Literal, TypeAlias

import orjson

from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import content_hash, loads
from fhirtasks.leakage.charts import clinical, tells
from fhirtasks.leakage.folding import name_words, normalised, squeezed
from fhirtasks.tasks.wording import mask

What: TypeAlias = Literal["patient", "scenario", "episode", "family", "wording"]
WHATS: Final[tuple[What, ...]] = ("patient", "scenario", "episode", "family", "wording")
SHORTEST: Final = 4
"""Letters and digits that an identifier needs to say who somebody is."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Something that two splits both have; ``number`` is how much of it, ``example`` one of them."""

    what: What
    splits: tuple[str, str]
    number: int
    example: str


@dataclass(frozen=True, slots=True)
class Shard:
    """One Parquet file of a release: its ``name`` there (``sft/train-00000-of-00001.parquet``), and what opens it."""

    name: str
    open: Callable[[], AbstractContextManager[IO[bytes]]]


def overlaps(folder: Path, *, episodes: bool = True, families: bool = False, wordings: bool = False) -> list[Overlap]:
    """:func:`shared` for the release in ``folder``."""
    paths = [path for config in ("charts", "sft") for path in sorted((folder / config).glob("*.parquet"))]
    shards = [Shard(path.relative_to(folder).as_posix(), partial(_local, path)) for path in paths]
    return shared(shards, str(folder), episodes=episodes, families=families, wordings=wordings)


def shared(
    shards: Sequence[Shard], place: str, *, episodes: bool = True, families: bool = False, wordings: bool = False
) -> list[Overlap]:
    """Where two splits of a release share a patient, a scenario or an episode. ``place`` is where it lies.

    Patients are the same if they share an identifier, or a name with the birth date; scenarios, if they add a resource
    of the same clinical content; episodes, if their messages are equal. Where splits are meant to be disjoint by
    ``families`` or ``wordings`` (the instruction, its slots masked), what they share of these counts too. ``episodes``
    is False for a caller that compares them anyway. UserError for a shard that cannot be read.
    """
    asked = {"patient": True, "scenario": True, "episode": episodes, "family": families, "wording": wordings}
    seen: dict[What, dict[str, dict[str, str]]] = {what: {} for what in WHATS if asked[what]}
    for split, raw in _column(shards, place, "charts", ("type", "raw")):
        if raw["type"] == "Patient":
            for key, example in patient_keys(raw["raw"]):
                _see(seen["patient"], split, key, example)
    columns = ("id", "task", "messages") if episodes else ("id", "task")
    for split, row in _column(shards, place, "sft", columns):
        if episodes:
            _see(seen["episode"], split, content_hash(row["messages"]), str(row["id"]))
        task = _task(row["task"])
        for key in _scenario_keys(task):
            _see(seen["scenario"], split, key, str(row["id"]))
        if families:
            _see(seen["family"], split, str(task.get("family")), str(task.get("family")))
        if wordings:
            wording = _wording(task)
            _see(seen["wording"], split, wording, wording)
    found = []
    for what, by_split in seen.items():
        for one, other in combinations(by_split, 2):
            both = by_split[one].keys() & by_split[other].keys()
            if both:
                found.append(Overlap(what, (one, other), len(both), by_split[one][min(both)]))
    return found


def patient_keys(raw: str) -> Iterator[tuple[str, str]]:
    """(key, how to show it) of everything that says who a Patient is: identifiers, and each name with the birth date."""
    try:
        patient = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return
    if not isinstance(patient, dict):
        return
    for identifier in _objects(patient.get("identifier")):
        value = identifier.get("value")
        if isinstance(value, str) and len(squeezed(value)) >= SHORTEST:
            yield f"identifier {identifier.get('system') or ''} {squeezed(value)}", value
    born = patient.get("birthDate")
    for name in _objects(patient.get("name")):
        given = name.get("given")
        parts = [*(given if isinstance(given, list) else ()), name.get("family")]
        whole = " ".join(part for part in parts if isinstance(part, str)) or str(name.get("text") or "")
        words = sorted(name_words(whole.replace(",", " ")))
        if len(words) > 1 and isinstance(born, str):
            yield f"person {' '.join(words)} {born}", f"{whole}, {born}"


def _local(path: Path) -> IO[bytes]:
    return path.open("rb")


def _see(known: dict[str, dict[str, str]], split: str, key: str, example: str) -> None:
    known.setdefault(split, {}).setdefault(key, example)


def _scenario_keys(task: dict[str, Any]) -> Iterator[str]:
    scenario = task.get("scenario")
    added = scenario.get("add") if isinstance(scenario, dict) else None
    for text in added if isinstance(added, list) else ():
        try:
            resource = loads(text)
        except (ValueError, TypeError):
            continue
        if isinstance(resource, dict):
            part = clinical(resource)
            if tells(part):
                yield content_hash(part)


def _wording(task: dict[str, Any]) -> str:
    slots = task.get("slots")
    values = {name: text for name, text in slots.items() if isinstance(text, str)} if isinstance(slots, dict) else {}
    return f"{task.get('family')}: {normalised(mask(str(task.get('instruction') or ''), values))}"


def _task(text: Any) -> dict[str, Any]:
    try:
        task = orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError):
        return {}
    return task if isinstance(task, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _column(
    shards: Sequence[Shard], place: str, config: str, columns: tuple[str, ...]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(split, row) of every row of a config, with these columns only."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for shard in shards:
        folder, _, file_name = shard.name.partition("/")
        if folder != config:
            continue
        try:
            with shard.open() as opened, pq.ParquetFile(opened) as file:
                for batch in file.iter_batches(batch_size=512, columns=list(columns)):
                    for row in batch.to_pylist():
                        if row.keys() >= set(columns):
                            yield file_name.split("-", 1)[0], row
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{place}/{shard.name} cannot be read ({reason}); build or download the release again."
            ) from None
