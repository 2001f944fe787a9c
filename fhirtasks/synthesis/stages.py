"""The stages of a build, one after the other; each leaves its result in the journal and is skipped if it is there."""

from __future__ import annotations

import gc
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
from fhirtasks.synthesis.config import PATIENTS, BuildConfig
from fhirtasks.synthesis.earlier import Release
from fhirtasks.synthesis.extend import carried, settled, still_wanted
from fhirtasks.synthesis.jobs import MakeJob, WorldJob, make_partition, survey_world
from fhirtasks.synthesis.journal import Journal
from fhirtasks.synthesis.merge import Merged, Part, merge, missed
from fhirtasks.synthesis.plan import LEAST_PATIENTS, Partition, held_out, plan_partitions, plan_quotas, split_patients
from fhirtasks.synthesis.publish import stated_sources
from fhirtasks.synthesis.rollouts import RolloutJob, account, replay_rollouts, write_tasks
from fhirtasks.synthesis.standing import carry_drops, judge_standing, standing_jobs
from fhirtasks.synthesis.transcript_files import RolloutFile
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
    extended: Release | None = None
    rollouts: tuple[RolloutFile, ...] = ()
    notes: list[str] = field(default_factory=list)
    unsupported: dict[str, str] = field(default_factory=dict)
    graph: Path | None = field(init=False)
    graph_fingerprint: str = field(init=False)
    worlds: dict[str, Path] = field(init=False)
    lacks: dict[str, dict[str, str | None]] = field(init=False)
    quotas: list[Quota] = field(init=False)
    partitions: list[tuple[Partition, Path]] = field(init=False)
    standing: list[Part] = field(default_factory=list)
    stands: Merged = field(default_factory=Merged)
    spared: set[tuple[str, str]] = field(default_factory=set)
    """(family, split) of which no more rows are made, though the split stands."""

    def take_graph(self) -> None:
        """The graph: the one given, or an embedded population; None where the charts of an earlier release serve."""
        self.graph = self.config.graph
        if self.graph is None and (self.extended is None or self.config.patients is not None):
            self.graph = self._population()
        if self.graph is None:
            assert self.extended is not None
            self.graph_fingerprint = self.extended.manifest["graph"]
        else:
            with open_graph(self.graph) as db:
                self.graph_fingerprint = fingerprint(db)

    def make_worlds(self, run: Runner) -> None:
        """A world per split, held-out patients removed, splits of too few patients left out."""
        patients = self._split()
        names = tuple(family.name for family in self.families)
        self.worlds = {split: self.journal.path("worlds", f"{split}.duckdb") for split in patients}
        records: Path | tuple[Path, ...] = self.graph or ()
        if self.extended is not None and self.graph is None:
            records = (self.extended.folder,)
        jobs = [
            WorldJob(records, tuple(patients[split]), split, path, self.holdouts, names)
            for split, path in self.worlds.items()
        ]
        self.say(
            "writing the worlds of " + ", ".join(f"{split} ({len(patients[split]):,} patients)" for split in patients)
        )
        self.lacks = dict(run(survey_world, jobs))
        if self.graph is None:
            self._recount(patients)

    def judge_standing(self, run: Runner) -> None:
        """The rows of the release that is extended, judged anew on the worlds."""
        if self.extended is None:
            return
        jobs = [
            job
            for split in self.extended.manifest["splits"]
            for job in standing_jobs(
                self.extended,
                split,
                self.worlds.get(split),
                self.journal.path("partitions"),
                holdouts=self.holdouts,
                label="extend",
            )
        ]
        left = [job for job in jobs if not job.out.exists()]
        rows = 0
        for number, kept in enumerate(run(judge_standing, left), 1):
            rows += kept
            self.say(f"{rows:,} rows of {self.extended.folder} stand ({number} of {len(left)} parts judged)")
        self.standing = [Part(job.out, job.split, "extend", foreign=True) for job in jobs]
        self.standing += [
            Part(path, split) for split, path in carry_drops(self.extended, self.journal.path("partitions"))
        ]
        self.stands = merge(self.standing)

    def allot(self) -> None:
        """Quotas for what the worlds can show, and the partitions that will fill them."""
        self.unsupported = {name: lack for name, lack in self.lacks["train"].items() if lack}
        able = [family for family in self.families if family.name not in self.unsupported]
        if not able and not self.standing:
            why = "; ".join(f"{name}: {lack}" for name, lack in self.unsupported.items())
            raise UserError(f"These records support none of the families ({why}); load more records, or name others.")
        for split in self.worlds:
            for name, lack in self.lacks[split].items():
                if lack and name not in self.unsupported:
                    self._note(f"{name} has no rows in {split}: {lack}")
        apart = held_out(self.config, self.families)
        if apart:
            self._note(f"asked in test alone: {', '.join(apart)}")
        if self.config.test_wordings:
            self._note("test has wordings of its own")
        self.quotas = plan_quotas(
            able,
            self.config.per_family,
            list(self.worlds),
            lambda family, split: not self.lacks[split][family.name] and (family.name, split) not in self.spared,
            apart,
            dict(self.config.difficulty),
        )
        if self.extended is not None:
            self.quotas = settled(self.quotas, self.extended)
        for split in [split for split in self.worlds if not any(q.rows for q in self.quotas if q.split == split)]:
            if not self.stands.kept(split):
                self._note(f"the split {split} is left out: no row of those asked for falls to it")
                del self.worlds[split]
        wanted = self.quotas
        if self.extended is not None:
            wanted = still_wanted(self.quotas, self.extended, self.stands)
        plan = plan_partitions(
            wanted,
            able,
            mode=self.config.mode,
            protocol=self.config.protocol,
            seed=self.config.seed,
            graph=self.graph_fingerprint,
            after="" if self.extended is None else self.extended.digest,
            test_wordings=self.config.test_wordings,
        )
        self.partitions = [
            (partition, self.journal.path("partitions", f"{partition.name}.arrow")) for partition in plan
        ]

    def make(self, run: Runner) -> tuple[Merged, list[tuple[Quota, int]]]:
        """All partitions, merged, and the quotas that train missed.

        Where another split's records are too few for a branch, that split is left out and its rows are made from the
        others; a split in which rows stand from before gets no more of that family.
        """
        while True:
            self._make_partitions(run)
            merged = merge(self.parts())
            lacking = missed(self.quotas, merged)
            short = sorted({quota.split for quota, _ in lacking} - {"train"})
            if not short or any(quota.split == "train" for quota, _ in lacking):
                return merged, lacking
            for split in short:
                mine = [quota for quota, _ in lacking if quota.split == split]
                names = ", ".join(sorted({f"{quota.family}/{quota.branch}" for quota in mine}))
                if self.stands.kept(split):
                    self._note(
                        f"the split {split} gets no more of their families: its patients are too few for {names}"
                    )
                    self.spared |= {(quota.family, split) for quota in mine}
                else:
                    self._note(f"the split {split} is left out: its patients are too few for {names}")
                    del self.worlds[split]
            self.allot()

    def all_quotas(self) -> list[Quota]:
        """The quotas of this build, and those of the families that only stand from before."""
        return [*self.quotas, *([] if self.extended is None else carried(self.quotas, self.extended))]

    def stated_sources(self) -> tuple[list[dict[str, Any]], list[str]]:
        """The sources of the records, and what is to be remarked of them."""
        if self.graph is not None:
            return stated_sources(self.graph)
        assert self.extended is not None
        return self.extended.manifest["sources"], []

    def parts(self) -> list[Part]:
        """What stands from before, then what was made, in the release's order."""
        return [*self.standing, *(Part(path, partition.split) for partition, path in self.partitions)]

    def replay_rollouts(self, merged: Merged, run: Runner) -> tuple[Merged, list[Part], list[dict[str, Any]]]:
        """Recorded transcripts of the tasks that were kept, replayed and judged, merged after the experts' rows.

        Gives what there is now, its parts, and the manifest's account of the rollouts.
        """
        parts = self.parts()
        if not self.rollouts:
            return merged, parts, []
        tasks = self.journal.path("tasks.duckdb")
        if not tasks.exists():
            write_tasks(parts, merged, tasks)
        jobs = [
            RolloutJob(
                file,
                chunk,
                tasks,
                dict(self.worlds),
                self.graph_fingerprint,
                self.journal.path("partitions", f"rollouts-{file.digest[:16]}-{chunk:05d}.arrow"),
                self.holdouts,
                self.config.tokenizer,
                self.config.max_tokens,
            )
            for file in self.rollouts
            for chunk in range(len(file.chunks))
        ]
        rows = 0
        left = [job for job in jobs if not job.out.exists()]
        for number, kept in enumerate(run(replay_rollouts, left), 1):
            rows += kept
            self.say(f"rollouts: {rows:,} transcripts pass ({number} of {len(left)} parts replayed)")
        rolled = [Part(job.out, None, "rollout", foreign=True) for job in jobs]
        merged = merge([*parts, *rolled])
        return merged, [*parts, *rolled], account(jobs, merged)

    def _make_partitions(self, run: Runner) -> None:
        jobs = [
            MakeJob(
                partition,
                self.worlds[partition.split],
                path,
                self.holdouts,
                self.config.tokenizer,
                tuple(part.path for part in self.standing if part.split == partition.split),
                self.config.max_tokens,
            )
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
        gc.unfreeze()

    def _population(self) -> Path:
        graph = self.journal.path("population.duckdb")
        if not graph.exists():
            part = self.journal.path("population.part.duckdb")
            populate(part, patients=self.config.patients or PATIENTS, seed=self.config.seed, progress=self.say)
            part.replace(graph)
        return graph

    def _split(self) -> dict[str, list[str]]:
        fixed = {} if self.extended is None else dict(self.extended.patients)
        if self.graph is None:
            excluded: set[str] = set()  # those are taken out where the charts are read
            patients = sorted(fixed)
        else:
            world = World.open(self.graph)
            try:
                excluded = set() if self.holdouts is None else self.holdouts.excluded_patients(world.db)
                patients = [patient for patient in world.patients if patient not in excluded]
            finally:
                world.close()
            gone = fixed.keys() - {*patients, *excluded}
            if self.extended is not None and fixed and len(gone) == len(fixed):
                raise UserError(
                    f"The records have none of the patients of {self.extended.folder}: load the new ones into the graph "
                    "that it was built from, or build a release of its own and merge them."
                )
            if gone:
                self._note(f"{len(gone):,} patients of the extended release are not in the records")
        if excluded:
            self._note(f"{len(excluded):,} patients are held out")
        splits = split_patients(patients, self.config.seed, fixed)
        few = [split for split, members in splits.items() if len(members) < LEAST_PATIENTS]
        if "train" in few:
            raise UserError(
                f"{len(patients)} {'patient is' if len(patients) == 1 else 'patients are'} too few to build from: "
                f"give a graph with {LEAST_PATIENTS} or more."
            )
        for split in few:
            self._note(f"the split {split} is left out: the patients are too few to give it {LEAST_PATIENTS}")
        return {split: members for split, members in splits.items() if split not in few}

    def _recount(self, patients: dict[str, list[str]]) -> None:
        """Charts of an earlier release: who is held out is known once the worlds are written."""
        left = {split: len(open_world(path).patients) for split, path in self.worlds.items()}
        excluded = sum(map(len, patients.values())) - sum(left.values())
        if excluded:
            self._note(f"{excluded:,} patients are held out")
        for split in [split for split, number in left.items() if number < LEAST_PATIENTS]:
            if split == "train":
                raise UserError(f"{left[split]} patients are too few to build from: hold out fewer, or give a graph.")
            self._note(f"the split {split} is left out: the patients are too few to give it {LEAST_PATIENTS}")
            del self.worlds[split]

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)
