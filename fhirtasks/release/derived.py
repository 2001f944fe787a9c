"""Whether a release's documents, floors and lengths are what its rows and its manifest give."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhirtasks.errors import UserError
from fhirtasks.release.code import versions
from fhirtasks.release.documents import documents, in_order
from fhirtasks.release.figures import figures
from fhirtasks.release.floors import measure
from fhirtasks.release.lengths import quantiles
from fhirtasks.release.manifest import NAME as MANIFEST
from fhirtasks.release.processes import open_world
from fhirtasks.release.read import DamagedShard, Failure
from fhirtasks.release.report import NAME as REPORT
from fhirtasks.release.report import without_figures
from fhirtasks.release.traces import FOLDER

PARTS = 2
"""The floors are measured in so many jobs."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A job of a build or a check: measure a part of the floors on the world of a split, or without a world draw the
    figures."""

    folder: Path
    manifest: dict[str, Any]
    split: str = ""
    world: Path | None = None
    part: int = 0


def draw(job: Drawn) -> tuple[str, Any]:
    """``floors`` or ``figures``, and what they are, or this part of them."""
    if job.world is None:
        return "figures", figures(in_order(job.manifest))
    return "floors", measure(job.folder, job.split, open_world(job.world), job.part, PARTS)


def draw_again(job: Drawn) -> tuple[str, Any]:
    """The same for a release that may be damaged: a :class:`Failure` stands where nothing can be measured or drawn."""
    name = "figures" if job.world is None else "floors"
    try:
        return draw(job)
    except DamagedShard as damaged:
        return name, damaged.failure
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # a damaged manifest or task may break a figure, service or grader anywhere
        return name, Failure(f"no {name} can be made ({type(error).__name__}: {error})", file=MANIFEST)


def jobs(folder: Path, manifest: dict[str, Any], worlds: Mapping[str, Path]) -> list[Drawn]:
    """The jobs for a release whose shards are in ``folder`` and whose worlds are at ``worlds``."""
    split = next(iter(in_order(manifest)["splits"]), "")
    parts = range(PARTS) if split in worlds else ()
    return [*(Drawn(folder, manifest, split, worlds[split], part) for part in parts), Drawn(folder, manifest)]


def together(found: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """What the jobs gave, by name, in whatever order they ended: the parts of the floors as one, or why there are none."""
    drawn: dict[str, Any] = {}
    for name, value in found:
        before = drawn.get(name)
        failures = [one for one in (before, value) if isinstance(one, Failure)]
        if failures:
            value = min(failures, key=lambda one: one.problem)
        elif before is not None:
            value |= {"families": dict(sorted({**before["families"], **value["families"]}.items()))}
        drawn[name] = value
    return drawn


def check_documents(folder: Path, manifest: dict[str, Any], drawn: Mapping[str, Any]) -> Iterator[Failure | str]:
    """Failures, and sentences on what could not be checked. ``drawn`` is what the jobs gave."""
    yield from (found for found in drawn.values() if isinstance(found, Failure))
    floors = drawn.get("floors")
    if floors is not None and not isinstance(floors, Failure) and floors != manifest.get("floors"):
        yield Failure("the floors are not those that are measured", file=MANIFEST)
    if isinstance(drawn["figures"], Failure):
        return
    own, made = versions(), manifest["versions"]
    expected = set()
    try:
        for path, wanted in documents(folder, manifest, drawn["figures"]):
            expected.add(path)
            if path not in manifest["files"] and (
                made.get("code") == own["code"]
                or not path.startswith(f"{FOLDER}/")  # another version samples otherwise
            ):
                yield Failure("is missing, and the manifest does not list it", file=path)
                continue
            file = folder / path
            found = file.read_bytes() if file.is_file() else wanted  # that a file is missing is said elsewhere
            if found == wanted:
                continue
            if path == REPORT and made.get("matplotlib") != own["matplotlib"] and _same_but_figures(found, wanted):
                yield f"the figures of {REPORT}: matplotlib {made.get('matplotlib')} drew them, here is {own['matplotlib']}"
            elif made.get("code") != own["code"]:
                yield f"{path}: another version of fhirtasks wrote it ({made.get('fhirtasks')}, code {str(made.get('code'))[:12]})"
            else:
                yield Failure(f"is not what rows and manifest give: {_difference(found, wanted)}", file=path)
    except DamagedShard as damaged:
        yield damaged.failure
    except (LookupError, TypeError, ValueError, AttributeError, UserError) as error:
        yield Failure(f"no card, report or traces can be made of it ({type(error).__name__}: {error})", file=MANIFEST)
        return
    for path in sorted(manifest["files"]):
        if path.startswith(f"{FOLDER}/") and path not in expected:
            yield Failure("shows no episode of the sample", file=path)


def check_lengths(
    manifest: dict[str, Any], counted: Iterable[Mapping[str, Mapping[str, Sequence[int]]]]
) -> Iterator[Failure]:
    """``counted`` has, for each part of the rows, family -> ``characters`` and ``tokens`` -> what they count."""
    found: dict[str, dict[str, array[int]]] = {family: {} for family in manifest["families"]}
    for part in counted:
        for family, units in part.items():
            for unit, values in units.items():
                found.setdefault(family, {}).setdefault(unit, array("q")).extend(values)
    for family in sorted(found.keys() | manifest["lengths"].keys()):
        units = found.get(family, {})
        wanted = {"characters": quantiles(units.get("characters", ()))}
        if units.get("tokens"):
            wanted["tokens"] = quantiles(units["tokens"])
        stated = manifest["lengths"].get(family)
        if wanted != stated:
            yield Failure(f"the lengths of {family} are {wanted}, the manifest says {stated}", file=MANIFEST)


def _same_but_figures(found: bytes, wanted: bytes) -> bool:
    return without_figures(found.decode("utf-8", "replace")) == without_figures(wanted.decode())


def _difference(found: bytes, wanted: bytes) -> str:
    """Where the two first differ, in words."""
    one, other = found.decode("utf-8", "replace").splitlines(), wanted.decode().splitlines()
    for number, (here, there) in enumerate(zip(one, other, strict=False), 1):
        if here != there:
            place = next(
                (n for n, (a, b) in enumerate(zip(here, there, strict=False)) if a != b), min(len(here), len(there))
            )
            start = max(place - 20, 0)
            return f"line {number} has {here[start : place + 40]!r}, should have {there[start : place + 40]!r}"
    return f"{len(one)} lines, should be {len(other)}" if len(one) != len(other) else "line ends differ"
