"""The embedded population: synthetic patients enough for a whole build, valid R4, the same for the same seed."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fhirtasks.errors import UserError
from fhirtasks.population.clinical import tables
from fhirtasks.population.identities import identity, seeded
from fhirtasks.population.resources import Chart, shared_resources
from fhirtasks.population.timeline import Timeline

if TYPE_CHECKING:
    from fhirtasks.graph.load import LoadReport

LICENCE = "CC0-1.0"


def generate(patients: int, seed: int, patients_from: Path | None = None) -> Iterator[str]:
    """Resources as JSON lines: the shared hospitals first, then patient by patient, nothing kept in memory.

    With ``patients_from`` (a task file in the benchmark's format) the patients are those that the file mentions, and
    ``patients`` is not used. Raises UserError for a negative number or an unreadable file.
    """
    if patients_from is not None:
        from fhirtasks.population.dryrun import charts_for

        yield from charts_for(patients_from, seed)
        return
    if patients < 1:
        raise UserError(f"patients is {patients}; ask for at least one.")
    yield from shared_resources()
    sites = tables().sites
    for index in range(patients):
        rng = random.Random(seeded(seed, index, "history"))
        who = identity(seed, index)
        chart = Chart(who, rng.choice(sites), rng)
        Timeline(who, chart, rng).write()
        yield from chart.lines


def populate(
    graph: Path,
    *,
    patients: int = 200,
    seed: int = 0,
    patients_from: Path | None = None,
    progress: Callable[[str], None] = lambda message: None,
) -> LoadReport:
    """Adds synthetic patients to a graph (made if it is not there) and says what it then holds.

    The same seed adds nothing twice; another seed adds other patients. Raises UserError as :func:`generate` does.
    """
    from fhirtasks.graph.load import load

    origin = f"fhirtasks embedded population, seed {seed}"
    name = f"population-seed-{seed}"
    if patients_from is not None:
        origin += ", patients of a task file"
        name += "-tasks"
    with tempfile.TemporaryDirectory(prefix="fhirtasks-") as folder:
        path = Path(folder) / f"{name}.ndjson"
        with path.open("w", encoding="utf-8", newline="\n") as file:
            seen = 0
            for number, text in enumerate(generate(patients, seed, patients_from), 1):
                file.write(text + "\n")
                seen += text.startswith('{"resourceType":"Patient"')
                if number % 20_000 == 0:
                    progress(f"made {number:,} resources of {seen:,} patients")
        progress(f"made {number:,} resources of {seen:,} patients")
        return load([str(path)], graph, licence=LICENCE, origin=origin, progress=progress)
