"""What a training run leaves beside its model: the whole configuration, the dataset's fingerprint, what came of it, a card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal, get_args

from fhirtasks import __version__
from fhirtasks.errors import UserError
from fhirtasks.release.manifest import NAME, read_manifest

Reports = Literal["auto", "none", "trackio"]

RUN: Final = "run.json"
CARD: Final = "README.md"
PANELS: Final = "panel.jsonl"
"""One line per step of reinforcement learning: its panel, and the alarms that it raised."""
ROLLOUTS: Final = "rollouts.jsonl"
"""One line per rollout: a transcript as ``fhirtasks build --rollouts`` takes it, with the rollout's record beside it."""
_PACKAGES: Final = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "vllm")


def dataset_record(folder: Path, name: str, revision: str | None) -> dict[str, Any]:
    """What a release is, by its manifest: digest, splits with their worlds' fingerprints, rows, the code that made it."""
    manifest = read_manifest(folder)
    return {
        "name": name,
        "revision": revision,
        "manifest": hashlib.sha256((folder / NAME).read_bytes()).hexdigest(),
        "worlds": {split: about["world"] for split, about in manifest["splits"].items()},
        "rows": manifest["kept"],
        "versions": manifest["versions"],
    }


def versions() -> dict[str, str]:
    """The versions of what trains, where installed."""
    found = {"fhirtasks": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def reports(chosen: Reports) -> list[str]:
    """What TRL logs to: trackio, which works offline, where it is installed. UserError for another name, or where it is not."""
    if chosen not in get_args(Reports):
        raise UserError(f"--report-to is {chosen!r}; it takes {', '.join(get_args(Reports))}.")
    from transformers import is_trackio_available

    if chosen == "trackio" and not is_trackio_available():
        raise UserError("--report-to trackio needs trackio (pip install trackio), or take --report-to none.")
    return ["trackio"] if chosen != "none" and is_trackio_available() else []


def plain(value: Any) -> Any:
    """An option as JSON has it."""
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def write_run(out: Path, run: Mapping[str, Any]) -> None:
    """Writes ``run.json`` and the model card that shows it. ``run`` has at least command, options, dataset and versions."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(run, indent=1, ensure_ascii=False) + "\n"
    (out / RUN).write_text(text, encoding="utf-8")
    (out / CARD).write_text(_card(run, text), encoding="utf-8")


def _card(run: Mapping[str, Any], text: str) -> str:
    options, dataset = run["options"], run["dataset"]
    head = {
        "library_name": "peft" if options.get("lora") and not run.get("merged") else "transformers",
        "tags": ["fhirtasks", "trl", run["command"]],
        **_named("base_model", str(options["model"])),
        **_named("datasets", [dataset["name"]]),
    }
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()]
    results = "".join(f"| {name} | {value:.4g} |\n" for name, value in sorted(run.get("results", {}).items()))
    return (
        "---\n" + "\n".join(lines) + "\n---\n\n"
        f"# Trained by fhirtasks ({run['command']})\n\n"
        f"From `{options['model']}` on `{dataset['name']}`"
        + (f" at `{dataset['revision']}`" if dataset["revision"] else "")
        + f", whose manifest has the sha256 `{dataset['manifest']}`.\n\n"
        + (f"| at the end | |\n|---|---|\n{results}\n" if results else "")
        + f"The whole run, as `{RUN}` has it:\n\n```json\n{text}```\n"
    )  # fmt: skip


def _named(key: str, value: Any) -> dict[str, Any]:
    """A link for the Hub, where it is one: a folder's path is none."""
    name = value[0] if isinstance(value, list) else value
    return {key: value} if name.count("/") == 1 and not name.startswith((".", "/")) else {}
