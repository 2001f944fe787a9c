"""What a build will make, fixed before any work is handed out: splits of patients, quotas, partitions.

A partition is a property of the release: how many there are, and which rows each holds, follows from the quotas alone.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from fhirtasks.episodes.types import Mode, Protocol
from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import canonical, content_hash
from fhirtasks.release.features import SPLITS
from fhirtasks.synthesis.config import BuildConfig
from fhirtasks.synthesis.difficulty import rows_of
from fhirtasks.tasks.quotas import Quota, allot
from fhirtasks.tasks.seeds import task_id, task_seed
from fhirtasks.tasks.types import Family

TEST = "test"
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
LEAST_PATIENTS = 5
"""A split with fewer patients is left out."""
PARTITION_ROWS = 1_000
"""About how many rows a partition holds: enough to judge in batches, few enough to lose little at a kill."""


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """One row to be made: ``seed`` decides what is drawn, ``id`` is the task's opaque id."""

    family: str
    branch: str
    index: int
    seed: str
    id: str


@dataclass(frozen=True)
class Partition:
    """Every ``of``-th row of a split's quotas, from ``number`` on. The same in any process."""

    split: str
    number: int
    of: int
    quotas: tuple[Quota, ...]
    versions: Mapping[str, str]
    mode: Mode
    protocol: Protocol
    seed: int
    graph: str
    after: str = ""
    """Digest of the release that this one extends: its rows' ids and draws are never used again."""
    test_wordings: bool = False
    """Whether the test split has wordings of its own, and the others have only the rest."""

    def rows(self) -> tuple[PlannedRow, ...]:
        """Its rows in the order of their seeds, so that families and branches come mixed; made anew each time."""
        rows = [self._row(family, branch, index) for family, branch, index in self._share()]
        return tuple(sorted(rows, key=lambda row: row.seed))

    @cached_property
    def name(self) -> str:
        """A file name that tells partitions of different plans apart."""
        quotas = [[quota.family, quota.branch, quota.rows] for quota in self.quotas]
        return f"{self.split}-{self.number:05d}-{content_hash([self.of, quotas])[:12]}"

    def _share(self) -> Iterator[tuple[str, str, int]]:
        """The rows of all quotas in order, every ``of``-th taken: each partition gets its part of each branch."""
        place = 0
        indices: dict[str, int] = {}
        for quota in self.quotas:
            start = indices.get(quota.family, 0)
            first = (self.number - place) % self.of
            for offset in range(first, quota.rows, self.of):
                yield quota.family, quota.branch, start + offset
            place += quota.rows
            indices[quota.family] = start + quota.rows

    def _row(self, family: str, branch: str, index: int) -> PlannedRow:
        version = self.versions[family]
        space = f"{self.protocol}/{self.mode}" + (f"/after {self.after}" if self.after else "")
        seed = task_seed(space, family, version, self.split, index, self.seed)
        # The graph is in the id alone: two releases may be mixed, and one that grows keeps what it draws by.
        return PlannedRow(
            family, branch, index, seed, task_id(f"{space}/{self.graph}", family, version, self.split, index, self.seed)
        )


def split_patients(patients: Iterable[str], seed: int, fixed: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """Patients by split, decided for each by sha256 of (seed, id): none changes sides as others come.

    Those in ``fixed`` (patient -> split) stay where they are. Only where a small graph leaves a split with fewer than
    :data:`LEAST_PATIENTS` does it take the next ones of train that are free to move, or, where there are none to spare,
    give train its own; a split that then has too few, all fixed, has none.
    """
    fixed = fixed or {}
    place = {patient: _place(patient, seed) for patient in sorted(patients)}
    ordered = sorted(place, key=lambda patient: (place[patient], patient))
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for patient in ordered:
        splits[fixed.get(patient) or _side(place[patient])].append(patient)
    train = splits[SPLITS[0]]
    for split in SPLITS[1:]:
        lacking = LEAST_PATIENTS - len(splits[split])
        free = [patient for patient in train if patient not in fixed]
        if 0 < lacking <= min(len(train) - 2 * LEAST_PATIENTS, len(free)):
            moved = set(free[-lacking:])
            splits[split] += free[-lacking:]
            train[:] = [patient for patient in train if patient not in moved]
        elif lacking > 0:
            train += [patient for patient in splits[split] if patient not in fixed]
            splits[split] = []
    return {split: sorted(members) for split, members in splits.items()}


def _place(patient: str, seed: int) -> float:
    digest = hashlib.sha256(canonical(["split", seed, patient])).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _side(place: float) -> str:
    for split in SPLITS:
        place -= SHARES[split]
        if place < 0:
            return split
    return SPLITS[-1]


def held_out(config: BuildConfig, families: Sequence[Family]) -> tuple[str, ...]:
    """Names of the families that only the test split asks. UserError for a glob that fits none, or if none would be left."""
    names = [family.name for family in families]
    for glob in config.test_families:
        if not fnmatch.filter(names, glob):
            raise UserError(f"--test-families {glob!r} fits none of the families; there are: {', '.join(names)}.")
    found = tuple(name for name in names if any(fnmatch.fnmatchcase(name, glob) for glob in config.test_families))
    if len(found) == len(names) and found:
        raise UserError("--test-families fits every family, so that none is left to train on; name fewer.")
    if config.test_wordings:
        few = [family.name for family in families if len(set(family.wordings)) < 2]
        if few:
            raise UserError(f"{few[0]} states fewer than two wordings; leave --test-wordings out, or that family.")
    return found


def plan_quotas(
    families: Sequence[Family],
    per_family: int,
    splits: Sequence[str],
    supported: Callable[[Family, str], bool],
    test_families: Sequence[str] = (),
    weights: Mapping[str, float] = MappingProxyType({}),
) -> list[Quota]:
    """Quotas of every family over the splits whose world supports it, ``per_family`` times its weight (1 unless given).

    With ``test_families`` the test split has these and no others, each family as many rows as it has there, or elsewhere, else.
    """
    quotas = []
    for family in families:
        mine = [split for split in splits if not test_families or (split == TEST) == (family.name in test_families)]
        shares = {split: SHARES[split] for split in mine if supported(family, split)}
        asked = rows_of(weights, family.name, per_family)
        rows = round(asked * sum(SHARES[split] for split in mine)) if test_families else asked
        if shares:
            quotas += allot([family], rows, shares)
    return quotas


def plan_partitions(
    quotas: Sequence[Quota],
    families: Sequence[Family],
    *,
    mode: Mode,
    protocol: Protocol,
    seed: int,
    graph: str,
    after: str = "",
    test_wordings: bool = False,
    rows: int = PARTITION_ROWS,
) -> list[Partition]:
    """The partitions of all splits, in the release's order."""
    versions = {family.name: family.version for family in families}
    partitions = []
    for split in SPLITS:
        mine = tuple(quota for quota in quotas if quota.split == split)
        count = -(-sum(quota.rows for quota in mine) // rows)
        partitions += [
            Partition(split, number, count, mine, versions, mode, protocol, seed, graph, after, test_wordings)
            for number in range(count)
        ]
    return partitions
