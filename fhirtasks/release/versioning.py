"""Versions that mean something: what a change of a release asks of its tag (docs/versions.md states the rule)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from fhirtasks.errors import UserError
from fhirtasks.release.diff import Diff
from fhirtasks.release.diff_reasons import DROPPED, NO_LONGER

Level: TypeAlias = Literal["major", "minor", "patch", "none"]
LEVELS: tuple[Level, ...] = ("none", "patch", "minor", "major")
FIRST = "v1.0.0"

_TAG = re.compile(r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", re.ASCII)
_HARMLESS = (f"{DROPPED}duplicate", f"{DROPPED}no case found")
"""Reasons in ``dropped`` that do not say that the row was wrong."""


@dataclass(frozen=True, slots=True)
class Change:
    """How much a release changed, and every finding that says so: (level, sentence), the gravest first."""

    level: Level
    findings: tuple[tuple[Level, str], ...]

    def as_json(self) -> dict[str, Any]:
        """The change as plain JSON: ``change`` and ``findings``."""
        return {"change": self.level, "findings": [{"change": level, "finding": text} for level, text in self.findings]}


def classify(diff: Diff) -> Change:
    """The level of a difference by the rule of docs/versions.md; ``none`` only where every file is the same."""
    found: list[tuple[Level, str]] = [("major", text) for text in _major(diff)]
    found += [("minor", text) for text in _minor(diff)]
    if not found and not diff.identical:
        found.append(("patch", "the rows are the same; only what describes them changed"))
    return Change(found[0][0] if found else "none", tuple(found))


def check_tag(previous: str | None, tag: str, diff: Diff | None) -> str | None:
    """Why ``tag`` is not the right one after ``previous`` (None: the first version); None where it is.

    Any later tag that is at least as great a step as the change will do. UserError if ``previous`` is no version tag.
    """
    if _TAG.fullmatch(tag) is None:
        return f"{tag} is no version tag; write v, then major.minor.patch, for example {FIRST}."
    if previous is None or diff is None:
        return None
    change = classify(diff)
    if change.level == "none":
        return f"the release is {previous}, byte for byte; there is nothing to tag."
    smallest = next_tag(previous, change.level)
    step = _step(numbers(previous), numbers(tag))
    if step >= LEVELS.index(change.level):
        return None
    if step <= 0:
        return f"{tag} does not come after {previous}; the smallest right tag is {smallest}."
    return (
        f"{tag} is too small a step from {previous}: the change is {change.level} ({change.findings[0][1]}); "
        f"the smallest right tag is {smallest}."
    )


def next_tag(previous: str | None, change: Level) -> str:
    """The smallest tag that says so much after ``previous``; the first one where there is none before."""
    if previous is None:
        return FIRST
    major, minor, patch = numbers(previous)
    return {
        "major": f"v{major + 1}.0.0",
        "minor": f"v{major}.{minor + 1}.0",
        "patch": f"v{major}.{minor}.{patch + 1}",
        "none": previous,
    }[change]


def numbers(tag: str) -> tuple[int, int, int]:
    """Major, minor, patch. UserError if ``tag`` is no version tag."""
    found = _TAG.fullmatch(tag)
    if found is None:
        raise UserError(f"{tag} is no version tag; write v, then major.minor.patch, for example {FIRST}.")
    return int(found[1]), int(found[2]), int(found[3])


def _step(one: tuple[int, int, int], other: tuple[int, int, int]) -> int:
    """How great the step is, as an index of :data:`LEVELS`; -1 if it leads back, 0 if nowhere."""
    if other < one:
        return -1
    return next((3 - place for place in range(3) if one[place] != other[place]), 0)


def _major(diff: Diff) -> list[str]:
    """What sends those who used the version before back to their work."""
    found = []
    if diff.before["format"] != diff.after["format"]:
        found.append(f"the format {diff.before['format']} is now {diff.after['format']}")
    for config, entry in diff.configs.items():
        if entry["rows"][0] and not entry["rows"][1]:
            found.append(f"the config {config} is gone")
            continue
        found += [f"the column {config}.{name} is gone" for name in entry["columns"]["removed"]]
        found += [f"the column {config}.{name} has another type" for name in entry["columns"]["retyped"]]
    found += [
        f"{name} {pair[0]} is now {pair[1]}" for name, pair in diff.options.items() if name in ("mode", "protocol")
    ]
    found += [f"the split {split} is gone" for split in diff.splits["removed"]]
    found += [f"the family {name} is gone" for name in diff.families["removed"]]
    found += [f"the branch {name} is gone" for name in diff.families["branches_removed"]]
    if diff.rows["verdicts"]:
        found.append(f"{_count(diff.rows['verdicts'], 'equal episode')} judged otherwise")
    for name in ("removed", "changed"):
        for reason, count in diff.rows[name]["reasons"].items():
            if reason.startswith((DROPPED, NO_LONGER)) and reason not in _HARMLESS:
                found.append(f"{_count(count, 'row')} {name}: {reason}")
    if diff.rows["moved"]:
        found.append(f"{_count(diff.rows['moved'], 'equal episode')} moved to another split")
    if diff.patients["moved"]["count"]:
        found.append(f"{_count(diff.patients['moved']['count'], 'patient')} moved to another split")
    if diff.sources["licences"]:
        before, after = (", ".join(side) or "none" for side in diff.sources["licences"])
        found.append(f"the licences {before} are now {after}")
    if diff.sources["real_patients"]:
        now = "is" if diff.sources["real_patients"][1] else "is no longer"
        found.append(f"a source of real patients {now} among the sources")
    return found


def _minor(diff: Diff) -> list[str]:
    """What gives other or more data, and takes back nothing that was said of the data before."""
    found = [
        f"the config {config} is new"
        for config, entry in diff.configs.items()
        if entry["rows"][1] and not entry["rows"][0]
    ]
    found += [
        f"the column {config}.{name} is new"
        for config, entry in diff.configs.items()
        if all(entry["rows"])
        for name in entry["columns"]["added"]
    ]
    found += [f"the split {split} is new" for split in diff.splits["added"]]
    found += [f"the family {name} is new" for name in diff.families["added"]]
    found += [f"the branch {name} is new" for name in diff.families["branches_added"]]
    for name in ("added", "removed", "changed"):
        if diff.rows[name]["count"]:
            found.append(f"{_count(diff.rows[name]['count'], 'row')} {name}")
        if name != "changed" and diff.patients[name]["count"]:
            found.append(f"{_count(diff.patients[name]['count'], 'patient')} {name}")
    for config, entry in diff.configs.items():
        changes = [f"{entry[name]:,} {name}" for name in ("added", "removed", "changed") if entry.get(name)]
        if changes:
            found.append(f"rows of {config}: {', '.join(changes)}")
    for split, entry in diff.splits["changed"].items():
        if any(entry["charts"].values()):
            changes = [f"{count:,} {name}" for name, count in entry["charts"].items() if count]
            found.append(f"resources of {split}: {', '.join(changes)}")
    return found


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
