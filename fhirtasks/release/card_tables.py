"""The tables of a dataset card, each from the manifest. Whatever others named is escaped."""

from __future__ import annotations

from typing import Any, Final

from fhirtasks.release.markdown import code, plain, table
from fhirtasks.tasks.floors import FLOORS

Manifest = dict[str, Any]

_CONFIGS: Final = {
    "sft": ("an episode", "`messages`, `tools`, `task`, `verdict`, `provenance`, `origin`, `content_hash`"),
    "sft_turns": ("an assistant message", "`prompt`, `completion`, `turn`, `origin`"),
    "preference": ("a correct episode and a mistaken one", "`prompt`, `chosen`, `rejected`, `mutant`, `check`"),
    "rl": ("a task", "`prompt`, `task` with its scenario, `reference` (the gold answer; no grader reads it)"),
    "privileged": ("an assistant message", "`prompt`, `privileged_context`, `completion`"),
    "charts": ("a resource", "`type`, `id`, `patient`, `raw`: all that the splits' servers hold"),
    "dropped": ("an attempt that is not here", "`content_hash`, `reason`; no text (reason `none`: nothing was)"),
}
_MARKS: Final = ("median", "p95", "longest")


def splits_of(manifest: Manifest, config: str) -> list[str]:
    """The splits in which a config has rows."""
    return [
        split for split in manifest["splits"] if any(one.startswith(f"{config}/{split}-") for one in manifest["files"])
    ]


def configs(manifest: Manifest) -> str:
    """What a row of each config is."""
    rows = [
        (f"`{name}` (default)" if name == "sft" else f"`{name}`", *about)
        for name, about in _CONFIGS.items()
        if splits_of(manifest, name)
    ]
    return table(("config", "one row is", "columns to know"), rows, left=3)


def splits(manifest: Manifest) -> str:
    """Patients, resources and episodes of each split."""
    names = ("patients", "resources", "rows")
    rows = [(name, *(f"{row[key]:,}" for key in names)) for name, row in manifest["splits"].items()]
    return table(("split", "patients", "resources", "episodes"), rows)


def families(manifest: Manifest) -> str:
    """A row per family."""
    rows = []
    for name, family in manifest["families"].items():
        cases = family["branches"].values()
        counts = (f"{sum(row[key] for row in cases):,}" for key in ("kept", "native", "overlaid"))
        rows.append((code(name), f"{len(cases):,}", *counts))
    return table(("family", "branches", "episodes", "native", "overlaid"), rows)


def branches(manifest: Manifest) -> str:
    """A row per branch."""
    keys = ("quota", "kept", "native", "overlaid")
    rows = [
        (code(name), code(branch), *(f"{row[key]:,}" for key in keys))
        for name, family in manifest["families"].items()
        for branch, row in family["branches"].items()
    ]
    return table(("family", "branch", *keys), rows, left=2)


def floors(manifest: Manifest) -> str:
    """A row per family, a column per floor."""
    measured = (manifest.get("floors") or {}).get("families", {})
    rows = [
        (
            code(name),
            f"{entry['tasks']:,}",
            f"{entry['tasks']:,}",
            *(f"{entry['passed'].get(one, 0):,}" for one in FLOORS),
        )
        for name, entry in measured.items()
    ]
    return table(("family", "tasks", "expert", *FLOORS), rows) if rows else ""


def lengths(manifest: Manifest) -> str:
    """A row per family: median, 95th percentile and longest, in every unit that was counted."""
    units = [unit for unit in ("characters", "tokens") if any(unit in row for row in manifest["lengths"].values())]
    rows = [
        (code(name), *(f"{row[unit][mark]:,}" if unit in row else "" for unit in units for mark in _MARKS))
        for name, row in manifest["lengths"].items()
    ]
    head = [mark if len(units) == 1 else f"{mark} {unit}" for unit in units for mark in _MARKS]
    return table(("family", *head), rows)


def made(manifest: Manifest) -> str:
    """What the release was made from: fingerprints, versions, seed."""
    options, versions = manifest["options"], manifest["versions"]
    rows = [("graph", code(manifest["graph"]))]
    rows += [(f"world of {name}", code(row["world"])) for name, row in manifest["splits"].items()]
    rows.append(("seed", str(options["seed"])))
    rows += [
        (name, code(str(options[name]))) for name in ("holdouts", "policy", "tokenizer", "extend") if options.get(name)
    ]
    rows += [("rollouts", code(str(digest))) for digest in options.get("rollouts") or ()]
    rows += [("comes from", code(str(one["manifest"]))) for one in manifest.get("lineage") or ()]
    rows.append(("families", ", ".join(f"{code(name)} {plain(str(one))}" for name, one in options["families"].items())))
    rows += [(plain(name), code(str(value))) for name, value in sorted(versions.items())]
    return "\n".join(f"| {name} | {value} |" for name, value in rows)
