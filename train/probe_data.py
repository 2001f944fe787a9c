"""What the probe learns from and what it is asked: rows of a release, what is held out of them, batches, recall drills."""

from __future__ import annotations

import hashlib
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fhirtasks.episodes.types import Message
from fhirtasks.errors import UserError
from fhirtasks.release.read import DamagedShard, tables
from fhirtasks.release.rows import message_of
from fhirtasks.tasks.codec import task_from_json
from fhirtasks.tasks.types import Task
from train.probe_tokenizer import SPECIAL, Encoded

HELD_OUT_WORDINGS: Final = 8
"""One wording of a family in so many is held out of training; a family with fewer than four keeps all."""
_FEW_VALUES: Final = 20
"""A slot with no more values than this chooses from a list; one with more names or measures something."""
_POOL: Final = 128
"""Episodes that are sorted by length at a time; more where a batch would hold most of them."""

_PAIR = re.compile(r"-?[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of ``sft``: its task and the conversation."""

    task: Task
    messages: tuple[Message, ...]


def read_rows(folder: Path, split: str = "train") -> list[Row]:
    """All rows of the split, in their order. UserError if there is none or it cannot be read."""
    rows = []
    try:
        for table in tables(folder, "sft", split, 1024, ("task", "messages")):
            for row in table.to_pylist():
                messages = tuple(message_of(message) for message in row["messages"])
                rows.append(Row(task_from_json(row["task"]), messages))
    except (DamagedShard, ValueError, TypeError) as error:
        raise UserError(f"{folder} cannot be read as a release ({error}); give a folder of fhirtasks build.") from None
    if not rows:
        raise UserError(f"{folder} has no sft rows of the split {split!r}; give a folder of fhirtasks build.")
    return rows


class Wordings:
    """Tells in which wording of its family a task was put: what remains of its context when values are taken out.

    Taken out are the task's own values, and whatever slots of the family choose from a few values (``highest``, ``lowest``),
    so that a fixed word that happens to be such a value makes no difference.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        seen: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for task in tasks:
            for slot, value in task.slots.items():
                seen[task.family, slot].add(value)
        self._few: defaultdict[str, set[str]] = defaultdict(set)
        for (family, _), values in seen.items():
            if len(values) <= _FEW_VALUES:
                self._few[family] |= values

    def of(self, task: Task) -> str:
        """Equal for two tasks of a family if and only if they were worded alike."""
        values = {task.now, *task.slots.values(), *self._few[task.family]} - {""}
        longest_first = sorted(values, key=lambda value: (-len(value), value))
        masked = re.sub(r"(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)", "#", task.context)
        return re.sub(r"[\d#.,:]*[\d#]", "#", masked)


def held_out_wordings(tasks: Sequence[Task], wordings: Wordings) -> set[tuple[str, str]]:
    """Family and wording of those that training leaves out: the first by hash, so that the choice is the text's own."""
    known: defaultdict[str, set[str]] = defaultdict(set)
    for task in tasks:
        known[task.family].add(wordings.of(task))
    return {
        (family, text)
        for family, texts in known.items()
        if len(texts) >= 4
        for text in sorted(texts, key=_digest)[: max(1, len(texts) // HELD_OUT_WORDINGS)]
    }


def by_patient(rows: Sequence[Row], share: float) -> list[Row]:
    """The rows of this share of the patients, at least one patient; a smaller share is part of a greater one."""
    patients = sorted({patient_of(row.task) for row in rows}, key=_digest)
    kept = set(patients[: max(1, round(len(patients) * share))])
    return [row for row in rows if patient_of(row.task) in kept]


def sampled(tasks: Sequence[Task], each: int) -> list[Task]:
    """At most ``each`` tasks of every family, drawn by the hash of their ids."""
    found: defaultdict[str, list[Task]] = defaultdict(list)
    for task in sorted(tasks, key=lambda task: _digest(task.id)):
        if len(found[task.family]) < each:
            found[task.family].append(task)
    return [task for family in sorted(found) for task in found[family]]


def batches(
    episodes: Sequence[Encoded], tokens: int, limit: Callable[[], int], rng: random.Random
) -> Iterator[list[tuple[Encoded, int]]]:
    """Endless batches of about ``tokens`` tokens: episodes, each with the length that ``limit`` leaves it.

    ``limit`` is asked anew for every pool of episodes. Episodes of like length stand together, so that little is
    padded; one is cut between turns, never within.
    """
    assert any(episode.within(10**9) for episode in episodes), "batches need an episode with a turn"
    at_a_time = max(_POOL, tokens // 64)
    while True:
        order = rng.sample(range(len(episodes)), len(episodes))
        for start in range(0, len(order), at_a_time):
            fits = limit()
            pool = [(episodes[place], episodes[place].within(fits)) for place in order[start : start + at_a_time]]
            pool = sorted((one for one in pool if one[1]), key=lambda one: one[1])
            cut: list[list[tuple[Encoded, int]]] = [[]]
            for one in pool:
                if cut[-1] and (len(cut[-1]) + 1) * one[1] > tokens:
                    cut.append([])
                cut[-1].append(one)
            rng.shuffle(cut)
            yield from (batch for batch in cut if batch)


def tensors(batch: Sequence[tuple[Encoded, int]]) -> tuple[Any, Any]:
    """Token ids (episodes, length), padded at the right, and where a token is the assistant's: what the loss is taken on.

    Padding comes after all that counts, so causal attention keeps every episode to itself without a mask.
    """
    import torch

    length = max(end for _, end in batch)
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    said = torch.zeros(len(batch), length, dtype=torch.bool)
    for place, (episode, end) in enumerate(batch):
        ids[place, :end] = torch.tensor(episode.tokens[:end])
        said[place, :end] = torch.tensor(episode.said[:end])
    return ids, said


def drills(tokenizer: Any, rng: random.Random, length: int = 160) -> Iterator[tuple[list[int], list[bool]]]:
    """Endless exercises in recall: names, each with a random id, then names again, and the id is due (where True).

    Made of the tokenizer's tokens at random; they teach no task and no language.
    """
    vocabulary = {number: token for token, number in tokenizer.get_vocab().items() if token not in SPECIAL}
    pairs = sorted(number for number, token in vocabulary.items() if _PAIR.fullmatch(token))
    others = sorted(vocabulary.keys() - set(pairs))
    while True:
        known = []
        for _ in range(rng.randint(3, 6)):
            among = pairs if pairs and rng.random() < 0.8 else others
            known.append([rng.choice(others), *rng.choices(among, k=rng.randint(3, 16))])
        ids = [token for one in known for token in one]
        due = [False] * len(ids)
        while len(ids) < length:
            if rng.random() < 0.3:
                noise = rng.choices(others, k=rng.randint(1, 4))
                ids, due = ids + noise, due + [False] * len(noise)
            one = rng.choice(known)
            ids, due = ids + one, [*due, False, *([True] * (len(one) - 1))]
        yield ids[:length], due[:length]


def patient_of(task: Task) -> str:
    """The patient whom a task is about; one about nobody counts for itself."""
    return task.patients[0] if task.patients else task.id


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
