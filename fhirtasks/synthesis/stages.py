"""The stages of a build, one after the other; each leaves its result in the journal and is skipped if it is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhirtasks.errors import UserError
from fhirtasks.graph.store import fingerprint, open_graph
from fhirtasks.graph.world import World
from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.population.populate import populate
from fhirtasks.release.processes import Runner, open_world
from fhirtasks.release.writer import Shard
from fhirtasks.synthesis.config import BuildConfig
from fhirtasks.synthesis.jobs import MakeJob, WorldJob, make_partition, survey_world, write_split
from fhirtasks.synthesis.journal import Journal
from fhirtasks.synthesis.merge import Merged, merge, missed, write_jobs
from fhirtasks.synthesis.plan import LEAST_PATIENTS, Partition, plan_partitions, plan_quotas, split_patients
from fhirtasks.tasks.quotas import Quota
from fhirtasks.tasks.types import Family


@dataclass(slots=True)
class Stages:
    """One build at work. ``holdouts`` is None where nothing is held out; ``notes`` grows as things are left out."""

    config: BuildConfig
    families: tuple[Family, ...]
    holdouts: Holdouts | None
    journal: Journal
    say: Callable[[str], None]
    notes: list[str] = field(default_factory=list)
    unsupported: dict[str, str] = field(default_factory=dict)
    graph: Path = field(init=False)
    graph_fingerprint: str = field(init=False)
    worlds: dict[str, Path] = field(init=False)
    lacks: dict[str, dict[str, str | None]] = field(init=False)
    quotas: list[Quota] = field(init=False)
    partitions: list[tuple[Partition, Path]] = field(init=False)

    def take_graph(self) -> None:
        """The graph: the one given, or an embedded population."""
        self.graph = self.config.graph or self._population()
        with open_graph(self.graph) as db:
            self.graph_fingerprint = fingerprint(db)

    def make_worlds(self, run: Runner) -> None:
        """A world per split, held-out patients removed, splits of too few patients left out."""
        patients = self._split()
        names = tuple(family.name for family in self.families)
        self.worlds = {split: self.journal.path("worlds", f"{split}.duckdb") for split in patients}
        jobs = [
            WorldJob(self.graph, tuple(patients[split]), split, path, self.holdouts, names)
            for split, path in self.worlds.items()
        ]
        self.say(
            "writing the worlds of " + ", ".join(f"{split} ({len(patients[split]):,} patients)" for split in patients)
        )
        self.lacks = dict(run(survey_world, jobs))

    def allot(self) -> None:
        """Quotas for what the worlds can show, and the partitions that will fill them."""
        self.unsupported = {name: lack for name, lack in self.lacks["train"].items() if lack}
        able = [family for family in self.families if family.name not in self.unsupported]
        if not able:
            why = "; ".join(f"{name}: {lack}" for name, lack in self.unsupported.items())
            raise UserError(f"These records support none of the families ({why}); load more records, or name others.")
        for split in self.worlds:
            for name, lack in self.lacks[split].items():
                if lack and name not in self.unsupported:
                    self._note(f"{name} has no rows in {split}: {lack}")
        self.quotas = plan_quotas(
            able, self.config.per_family, list(self.worlds), lambda family, split: not self.lacks[split][family.name]
        )
        for split in [split for split in self.worlds if not any(q.rows for q in self.quotas if q.split == split)]:
            self._note(f"the split {split} is left out: no row of those asked for falls to it")
            del self.worlds[split]
        plan = plan_partitions(
            self.quotas,
            able,
            mode=self.config.mode,
            protocol=self.config.protocol,
            seed=self.config.seed,
            graph=self.graph_fingerprint,
        )
        self.partitions = [
            (partition, self.journal.path("partitions", f"{partition.name}.arrow")) for partition in plan
        ]

    def make(self, run: Runner) -> tuple[Merged, list[tuple[Quota, int]]]:
        """All partitions, merged, and the quotas that train missed.

        Where another split's records are too few for a branch, that split is left out and its rows are made from the
        others.
        """
        while True:
            self._make_partitions(run)
            merged = merge(self.partitions)
            lacking = missed(self.quotas, merged)
            short = sorted({quota.split for quota, _ in lacking} - {"train"})
            if not short or any(quota.split == "train" for quota, _ in lacking):
                return merged, lacking
            for split in short:
                names = sorted({f"{quota.family}/{quota.branch}" for quota, _ in lacking if quota.split == split})
                self._note(f"the split {split} is left out: its patients are too few for {', '.join(names)}")
                del self.worlds[split]
            self.allot()

    def write(self, merged: Merged, run: Runner) -> tuple[Path, list[Shard], dict[str, Any]]:
        """The release's shards in a staging folder, and what each split holds."""
        staging = self.journal.staging()
        shards: list[Shard] = []
        jobs = write_jobs(staging, self.partitions, merged, self.worlds)
        for number, (config, split, written) in enumerate(run(write_split, jobs), 1):
            shards += written
            self.say(f"wrote {config}/{split} ({number} of {len(jobs)})")
        splits = {}
        for split, path in self.worlds.items():
            world = open_world(path)
            splits[split] = {
                "patients": len(world.patients),
                "resources": sum(shard.rows for shard in shards if shard.path.startswith(f"charts/{split}-")),
                "rows": merged.kept(split),
                "world": world.fingerprint,
            }
        return staging, shards, splits

    def _make_partitions(self, run: Runner) -> None:
        jobs = [
            MakeJob(partition, self.worlds[partition.split], path, self.holdouts, self.config.tokenizer)
            for partition, path in self.partitions
            if not path.exists()
        ]
        done = len(self.partitions) - len(jobs)
        if done:
            self.say(f"{done} of {len(self.partitions)} partitions were finished before")
        rows = 0
        for number, kept in enumerate(run(make_partition, jobs), done + 1):
            rows += kept
            self.say(f"partition {number} of {len(self.partitions)}: {rows:,} trajectories made")

    def _population(self) -> Path:
        graph = self.journal.path("population.duckdb")
        if not graph.exists():
            part = self.journal.path("population.part.duckdb")
            populate(part, patients=self.config.patients, seed=self.config.seed, progress=self.say)
            part.replace(graph)
        return graph

    def _split(self) -> dict[str, list[str]]:
        world = World.open(self.graph)
        try:
            excluded = set() if self.holdouts is None else self.holdouts.excluded_patients(world.db)
            patients = [patient for patient in world.patients if patient not in excluded]
        finally:
            world.close()
        if excluded:
            self._note(f"{len(excluded):,} patients are held out")
        splits = split_patients(patients, self.config.seed)
        few = [split for split, members in splits.items() if len(members) < LEAST_PATIENTS]
        if "train" in few:
            raise UserError(
                f"{len(patients)} {'patient is' if len(patients) == 1 else 'patients are'} too few to build from: "
                f"give a graph with {LEAST_PATIENTS} or more."
            )
        for split in few:
            self._note(f"the split {split} is left out: the patients are too few to give it {LEAST_PATIENTS}")
        return {split: members for split, members in splits.items() if split not in few}

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)
