"""The dataset card: a template filled from the manifest and a few rows, nothing else."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, Final

import fhirtasks
from fhirtasks.leakage.policy import read_policy
from fhirtasks.release import card_parts as parts
from fhirtasks.release import card_tables as tables
from fhirtasks.release.example import choose, shown
from fhirtasks.release.features import CONFIGS
from fhirtasks.release.licences import hub_name, licences, spdx
from fhirtasks.release.markdown import block, code

NAME: Final = "README.md"
_TEMPLATE = Path(fhirtasks.__file__).parents[1] / "cards" / "dataset_card.md"
_SIZES = (
    (1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"),
)  # fmt: skip
_TAGS = ("fhir", "ehr", "medical", "agent", "tool-use", "trajectories", "sft", "dpo", "rl", "fhirtasks")


def card(manifest: dict[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """The README of a release: YAML that ``load_dataset`` and the Hub read, then prose and tables for people.

    ``rows`` are the sample of ``sft`` that the traces are made of; the example is one of them.
    """
    options = manifest["options"]
    example = choose(rows)
    about = "" if example is None else f"{code(example['family'])}, branch {code(example['branch'])}"
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        front=front_matter(manifest),
        kept=f"{manifest['kept']:,}",
        glance=parts.glance(manifest),
        traces=f"{len(rows):,}",
        example_about=about,
        example=block("" if example is None else shown(example)),
        split=next(iter(manifest["splits"]), "train"),
        max_length=parts.max_length(manifest),
        configs=tables.configs(manifest),
        **parts.training(manifest),
        mode_about=parts.mode(options),
        splits=tables.splits(manifest),
        families=tables.families(manifest),
        branches=tables.branches(manifest),
        floors_about=parts.floors_about(manifest),
        floors=tables.floors(manifest),
        lengths_about=parts.lengths_about(manifest),
        lengths=tables.lengths(manifest),
        rollouts=parts.rollouts(manifest),
        dropped=parts.dropped(manifest),
        unsupported=parts.unsupported(manifest),
        notes=parts.notes(manifest),
        command=block(command(options), "console"),
        made=tables.made(manifest),
        audit=parts.audit(manifest),
        people=parts.people(manifest),
        sources=parts.sources(manifest),
    )


def front_matter(manifest: dict[str, Any]) -> str:
    """The YAML block: ``configs`` with their files, licence, tags. JSON strings are YAML strings."""
    size = next((label for limit, label in _SIZES if manifest["kept"] < limit), "n>1T")
    lines = ["pretty_name: Verified agent trajectories over FHIR R4 records", "language:", "- en", *_licence(manifest)]
    lines += ["annotations_creators:", "- machine-generated", "task_categories:", "- text-generation"]
    lines += ["- reinforcement-learning", "size_categories:", f"- {size}", "tags:", *(f"- {tag}" for tag in _TAGS)]
    lines.append("configs:")
    for config in CONFIGS:
        splits = tables.splits_of(manifest, config)
        if not splits:
            continue
        lines.append(f"- config_name: {config}")
        if config == "sft":
            lines.append("  default: true")
        lines.append("  data_files:")
        for split in splits:
            lines += [f"  - split: {split}", f"    path: {config}/{split}-*.parquet"]
    return "\n".join(lines)


def command(options: Mapping[str, Any]) -> str:
    """The command that makes the release again; capitals stand for what only its maker has."""
    if options.get("merge"):
        return f"$ fhirtasks merge {' '.join(f'RELEASE-{n}' for n in range(1, len(options['merge']) + 1))} --out DIR"
    population = options.get("population")
    records = [f"--patients {population['patients']}"] if population else []
    if not population and not options.get("extend"):
        records.append("--graph GRAPH")
    first = [f"--mode {options['mode']} --protocol {options['protocol']}"]
    first.append(f"--per-family {options['per_family']} --seed {options['seed']}")
    words = [" ".join(["$ fhirtasks build", *records, *first])]
    given = [("extend", "RELEASE")] * bool(options.get("extend"))
    given += [("tokenizer", "TOKENIZER")] * bool(options.get("tokenizer"))
    given += [("max-tokens", str(options.get("max_tokens")))] * bool(options.get("max_tokens"))
    given += [("holdout", "HOLDOUTS")] * bool(options.get("holdouts"))
    given += [("policy", "POLICY")] * (options.get("policy") not in (None, read_policy(None).digest))
    given += [("difficulty", "WEIGHTS")] * bool(options.get("difficulty"))
    given += [("rollouts", "TRANSCRIPTS")] * len(options.get("rollouts") or ())
    words += [f"--{name} {value}" for name, value in given]
    words += [f"--families {shlex.quote(name)}" for name in options["families"]]
    return " \\\n    ".join([*words, "--out DIR"])


def _licence(manifest: dict[str, Any]) -> list[str]:
    """The front matter's lines on licences: the Hub's names; what it has no name for is ``other``, with its own name."""
    names = list(dict.fromkeys(source.get("licence") for source in manifest["sources"])) or [None]
    hub = sorted({hub_name(name) for name in names})
    lines = ["license:", *(f"- {name}" for name in hub)]
    others = [name for name in names if name and hub_name(name) == "other"]
    if others:
        lines.append(f"license_name: {json.dumps(', '.join(others))}")
        link = next((licences()[known].source for name in others if (known := spdx(name))), None)
        lines += [f"license_link: {json.dumps(link)}"] * (link is not None)
    return lines
