"""The audit of a release: every text of every config searched for what is held out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fhirtasks.errors import UserError
from fhirtasks.leakage.holdouts import read_holdouts
from fhirtasks.leakage.matcher import Match, Matcher

TEXT_SUFFIXES = frozenset((".md", ".json", ".jsonl", ".txt", ".yaml", ".yml", ".csv"))
EXCERPT = 60
"""Characters shown on either side of what was found."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One held-out item in one row (``row`` counts from 0 within the split) or, without config and split, in one file.

    ``column`` is the place in the row (``messages[2].content``) or the file's name.
    """

    config: str
    split: str
    row: int | None
    column: str
    kind: str
    item: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was searched and found. ``holdouts`` is the digest of what was held out."""

    findings: tuple[Finding, ...]
    rows: dict[str, int]
    characters: int
    holdouts: str

    @property
    def clean(self) -> bool:
        """True if nothing held out was found."""
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON value."""
        return {
            "clean": self.clean,
            "findings": [asdict(finding) for finding in self.findings],
            "rows": self.rows,
            "characters": self.characters,
            "holdouts": self.holdouts,
        }


def audit(
    dataset_dir: Path, files: Sequence[Path], progress: Callable[[str], None] = lambda message: None
) -> AuditReport:
    """Searches a release folder for the held-out patients and instructions of the task files.

    All texts of a row count as one, so that a name in one message and the birth date in another are found. UserError
    if the folder is no release or a file cannot be read.
    """
    if not dataset_dir.is_dir():
        raise UserError(f"There is no folder {dataset_dir}; give a release folder.")
    holdouts = read_holdouts(files)
    matcher = Matcher(holdouts)
    shards = sorted(dataset_dir.glob("*/*.parquet"))
    if not shards:
        raise UserError(f"{dataset_dir} holds no <config>/<split>-*.parquet; give a release folder.")
    findings: list[Finding] = []
    rows: dict[str, int] = {}
    characters = 0
    for path in sorted(file for file in dataset_dir.rglob("*") if file.suffix in TEXT_SUFFIXES and file.is_file()):
        text = path.read_text(encoding="utf-8", errors="replace")
        characters += len(text)
        name = path.relative_to(dataset_dir).as_posix()
        findings += _findings(matcher, [(name, text)], "", "", None)
    for shard in shards:
        config, split = shard.parent.name, shard.name.rsplit(".", 1)[0].split("-", 1)[0]
        key = f"{config}/{split}"
        for texts in _rows(shard):
            row = rows.get(key, 0)
            rows[key] = row + 1
            characters += sum(len(text) for _, text in texts)
            findings += _findings(matcher, texts, config, split, row)
        progress(f"audited {key}: {rows.get(key, 0):,} rows, {len(findings):,} findings so far")
    return AuditReport(tuple(findings), rows, characters, holdouts.digest)


def _rows(shard: Path) -> Iterator[list[tuple[str, str]]]:
    """Per row, (place, text) of every text in it; the shard's own metadata comes with the first row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(shard) as file:
            metadata = file.schema_arrow.metadata or {}
            extra = [("(metadata)", value.decode("utf-8", "replace")) for value in metadata.values()]
            for batch in file.iter_batches(batch_size=512):
                for row in batch.to_pylist():
                    yield [*extra, *_texts("", row)]
                    extra = []
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{shard} cannot be read ({error}); build or download the release again.") from None


def _texts(place: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, bytes):
        yield place, value.decode("utf-8", "replace")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(f"{place}.{key}" if place else str(key), item)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _texts(f"{place}[{number}]", item)


def _findings(
    matcher: Matcher, texts: list[tuple[str, str]], config: str, split: str, row: int | None
) -> Iterator[Finding]:
    whole = "\n".join(text for _, text in texts)
    for match in matcher.find(whole):
        yield Finding(config, split, row, _place(texts, match), match.kind, match.item, _excerpt(whole, match))


def _place(texts: list[tuple[str, str]], match: Match) -> str:
    end = 0
    for place, text in texts:
        end += len(text) + 1
        if match.start < end:
            return place
    return texts[-1][0]


def _excerpt(text: str, match: Match) -> str:
    return " ".join(text[max(0, match.start - EXCERPT) : match.end + EXCERPT].split())
