"""The sentences of a dataset card, each from the manifest. Whatever others named is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fhirtasks.release.card_tables import Manifest, splits_of
from fhirtasks.release.licences import licences, spdx
from fhirtasks.release.markdown import code, plain, table

_MODES: Final = {
    "clinical": "Mode `clinical`: valid R4, executed writes, meaning decides; the patient has to be found.",
    "compat": "Mode `compat`: a public benchmark's rules to the letter; writes are judged, not executed.",
}


def glance(manifest: Manifest) -> str:
    """The release in a table of two columns."""
    rows = [row for family in manifest["families"].values() for row in family["branches"].values()]
    splits = manifest["splits"]
    cells = {
        "episodes": f"{manifest['kept']:,}: " + ", ".join(f"{row['rows']:,} {name}" for name, row in splits.items()),
        "families, branches": f"{len(manifest['families']):,}, {len(rows):,}",
        "patients, resources": f"{_sum(splits, 'patients'):,}, {_sum(splits, 'resources'):,}",
        "records": f"{_sum(rows, 'native'):,} episodes native, {_sum(rows, 'overlaid'):,} overlaid",
    }
    runs, passed = _floor_runs(manifest)
    if runs:
        cells["floors"] = f"{passed:,} of {runs:,} attempts without reading or without thinking pass"
    cells["held out"] = _held_out(manifest)
    cells["licences"] = ", ".join(_unique(plain(_licence(source)) for source in manifest["sources"])) or "not stated"
    return table(("at a glance", ""), [(f"**{name}**", value) for name, value in cells.items()], left=2)


def training(manifest: Manifest) -> dict[str, str]:
    """What the card says of training on configs that a release may lack, and how its protocol's messages look."""
    paired, told = splits_of(manifest, "preference"), splits_of(manifest, "privileged")
    texts = manifest["options"]["protocol"] == "text"
    pairs = (
        f'\npairs = load_dataset("path/to/this/folder", "preference", split="{next(iter(paired), "")}")\n'
        f'DPOTrainer("tuned", args=DPOConfig(max_length={max_length(manifest)}), train_dataset=pairs).train()\n'
    )
    about = (
        "- **DPO**: `preference`. Chosen and rejected share the prompt up to where they part; what was rejected is a mistake\n"
        "  that models make, and `mutant` and `check` say which, and what it trips.\n"
    )
    teacher = "\n- **Distillation**: `privileged` adds to every turn what a teacher that knows the outcome may see.\n"
    faults = (
        "\n  About one episode in eight makes a faulty call on purpose (an exception, a cut output, a wrong type or code) and\n"
        "  puts it right: in `sft_turns` it is in prompts and never a completion; in `sft` the verdict counts it (`faulty_turns`)."
    )
    return {
        "trainers": "DPOConfig, DPOTrainer, SFTConfig, SFTTrainer" if paired else "SFTConfig, SFTTrainer",
        "dpo": pairs if paired else "",
        "dpo_about": about if paired else "",
        "distillation": teacher if told else "",
        "faults": faults if manifest["options"]["protocol"] == "code" else "",
        "raw": '"FINISH([])"' if texts else '\'{"content": "", "tool_calls": []}\'',
    }


def mode(options: Mapping[str, Any]) -> str:
    """Mode and protocol in a sentence."""
    return f"{_MODES.get(options['mode'], '')} Protocol {code(str(options['protocol']))}.".strip()


def max_length(manifest: Manifest) -> int:
    """A power of two, in tokens, that holds the longest episode (about 2.5 characters a token where none were "
    "counted)."""
    longest = 1024
    for row in manifest["lengths"].values():
        tokens = row["tokens"]["longest"] if "tokens" in row else row["characters"]["longest"] * 2 // 5
        while longest < tokens:
            longest *= 2
    return longest


def floors_about(manifest: Manifest) -> str:
    """What the floors are, and on what they were measured."""
    measured = manifest.get("floors")
    if not measured:
        return "Not measured for this release."
    return (
        "What can be had without reading, or without thinking: `do-nothing` answers at once with an empty list, "
        "`never-read` makes the best of the prompt alone (it knows the most frequent answers), `constant` reads once "
        "and says −1, `echo` repeats a number of the prompt, `call-everything` reads widely, places every order that "
        "the prompt speaks of and reports the last number seen. Passed, of the first tasks of each family in "
        f"{plain(measured['split'])}; the expert passes all, or they would not be here."
    )


def lengths_about(manifest: Manifest) -> str:
    """In what the lengths are given."""
    tokenizer = manifest["options"].get("tokenizer")
    return f" in characters, and in tokens (tokenizer {code(str(tokenizer)[:16])})" if tokenizer else " in characters"


def dropped(manifest: Manifest) -> str:
    """Counts by reason."""
    return _counts(manifest["dropped"])


def unsupported(manifest: Manifest) -> str:
    """The families that these records cannot show."""
    rows = "; ".join(f"{code(name)} ({plain(why)})" for name, why in manifest["unsupported"].items())
    return f" These records cannot show: {rows}." if rows else ""


def notes(manifest: Manifest) -> str:
    """What the build noted, as sentences."""
    return "".join(f" {plain(note[:1].upper() + note[1:])}." for note in manifest["notes"])


def audit(manifest: Manifest) -> str:
    """What was held out, and what the filter left out for it."""
    found = _held_out(manifest)
    if found == "nothing":
        return (
            "Nothing was held out when this was built. `fhirtasks audit DIR --holdout FILE` checks every message and "
            "chart against a benchmark's files."
        )
    counts = {reason: count for reason, count in manifest["dropped"].items() if "holdout" in reason or "leak" in reason}
    left = _counts(counts) if counts else "no attempt"
    return (
        f"Held out: {found}. Held-out patients enter no world; every text of every row was compared, not only prompts. "
        f"Left out for it: {left}. `fhirtasks audit` repeats the comparison from the rows alone. "
        "`holdouts.json` has what is held out as keyed hashes, so that a push can be audited without the benchmark's files."
    )


def people(manifest: Manifest) -> str:
    """Whether the records tell of real people."""
    if manifest["options"].get("population"):
        return "The patients are synthetic, made by a program: nobody's record is shown."
    real = _unique(plain(str(source["name"])) for source in manifest["sources"] if source.get("real_patients"))
    if not real:
        return "The sources are not marked as records of real people."
    return (
        f"**Records of real people** are among the sources ({', '.join(real)}), de-identified by those who published "
        "them: do not try to find out who they are, and keep to the terms below."
    )


def sources(manifest: Manifest) -> str:
    """Every source with its licence, what that asks for, and whom to cite."""
    lines = []
    for source in manifest["sources"]:
        known = spdx(source["licence"]) if source.get("licence") else None
        terms = licences()[known].terms if known else "Ask its holder before you share anything made from it."
        name = f"[{plain(known)}]({licences()[known].source})" if known else f"**{plain(_licence(source))}**"
        origin = f", from {plain(source['origin'])}" if source.get("origin") else ""
        lines.append(f"- **{plain(str(source['name']))}**{origin}: {name}. {terms}")
        if source.get("citation"):
            lines.append(f"  Cite: {plain(source['citation'])}.")
    return "\n".join(lines) or "- not stated"


def rollouts(manifest: Manifest) -> str:
    """What became of recorded transcripts of models; empty where there were none."""
    found = manifest.get("rollouts") or []
    if not found:
        return ""
    rows = [
        (
            plain(str(one["model"])),
            f"{one['transcripts']:,}",
            f"{one['kept']:,}",
            _counts(one["cleaned"]),
            _counts(one["dropped"]),
        )
        for one in found
    ]
    head = ("model", "transcripts", "kept", "cleaned of", "dropped")
    return (
        "\n### Model rollouts\n\nRecorded transcripts of models, replayed in the same environment, cleaned of markup "
        "only, graded, and merged with the experts' rows; `origin` says who spoke, `provenance` which "
        f"model.\n\n{table(head, rows, left=5)}\n"
    )


def _counts(found: Mapping[str, int]) -> str:
    """Counts by name, the most frequent first."""
    rows = sorted(found.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{count:,} × {plain(name)}" for name, count in rows if count) or "nothing"


def held_out(manifest: Manifest) -> list[tuple[str, int]]:
    """How much of what kind was held out, the items first; empty where nothing was."""
    items = (manifest.get("holdouts") or {}).get("items", {})
    return [(kind, items[kind]) for kind in sorted(items, key=lambda kind: (kind != "items", kind)) if items[kind]]


def _held_out(manifest: Manifest) -> str:
    digest = (manifest.get("holdouts") or {}).get("digest") or manifest["options"].get("holdouts")
    if not digest:
        return "nothing"
    counts = ", ".join(f"{count:,} {plain(kind)}" for kind, count in held_out(manifest)) or "items"
    return f"{counts} (digest {code(str(digest)[:16])})"


def _floor_runs(manifest: Manifest) -> tuple[int, int]:
    entries = (manifest.get("floors") or {}).get("families", {}).values()
    return (
        sum(entry["tasks"] * len(entry["passed"]) for entry in entries),
        sum(sum(entry["passed"].values()) for entry in entries),
    )


def _licence(source: Mapping[str, Any]) -> str:
    return source.get("licence") or "licence not stated"


def _sum(rows: Any, key: str) -> int:
    return sum(row[key] for row in (rows.values() if isinstance(rows, dict) else rows))


def _unique(values: Any) -> list[str]:
    return list(dict.fromkeys(values))
