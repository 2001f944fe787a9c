"""What an audit reads: every file of a folder or of a Hub dataset, in parts that can be searched side by side.

Nothing is taken from what a dataset says of itself: all its files are read, whichever of them its card names.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from fhirtasks.benchmarks import archives
from fhirtasks.benchmarks.archives import members
from fhirtasks.benchmarks.files import damaged, dicts, heading, rows
from fhirtasks.benchmarks.hub import is_hub, parse, unreachable
from fhirtasks.benchmarks.kinds import Kind, encoding_of, is_packed, kind_of, opened
from fhirtasks.errors import UserError

CHUNK: Final = 16 << 20
"""Bytes of a JSON-lines file that make a part."""
STRIPES: Final = 8
"""Parts that a row group of Parquet is cut into at most; each decodes the rows before its own, so there are few."""
STRIPE: Final = 4_000
"""Rows of a row group that make a part."""
BATCH: Final = 128
NAMES: Final = "(names of files)"
"""What the part is called that holds the names of all files, members of archives and hidden folders."""
_NUMBERED: Final = re.compile(r"(?:[-_.]\d+(?:-of-\d+)?)+$")


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one file. ``group`` is a row group of Parquet, [start, stop) its rows; of JSON lines they are bytes.

    ``path`` is a local path, or one of Hugging Face's file system if ``commit`` is given; ``name`` is relative to the
    dataset, ``member`` the file's number in the archive that ``path`` is, None for a file of its own. ``prose`` (a card, a
    script, a manifest) has neither config nor split nor rows. ``said`` are texts that stand in no file.
    """

    path: str
    name: str
    config: str
    split: str
    kind: Kind
    prose: bool = False
    encoding: str | None = None
    commit: str | None = None
    group: int | None = None
    start: int = 0
    stop: int | None = None
    member: int | None = None
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """The parts of a dataset, what was not searched, and the commit it was read at.

    ``unsearched`` are the names of files that hold no text, and of hidden folders, which end with a slash; ``names`` is the
    part that says how all files and folders are called.
    """

    parts: tuple[Part, ...]
    unsearched: tuple[str, ...]
    commit: str | None
    names: Part


def find_parts(dataset: str | Path) -> Dataset:
    """Every file of a folder, a single file, or a Hub dataset ``org/name[@revision]``. UserError if there is none."""
    if is_hub(dataset):
        return _on_hub(str(dataset))
    path, hidden = Path(dataset), list[str]()
    if path.is_dir():
        files, hidden = _below(path)
        named = [(str(file), file.relative_to(path).as_posix()) for file in files]
    elif path.is_file():
        named = [(str(path), path.name)]
    else:
        raise UserError(
            f"There is no folder or file {dataset}; give a dataset's folder or file, or org/name on the Hub."
        )
    return _dataset(named, None, dataset, hidden)


def _below(folder: Path) -> tuple[list[Path], list[str]]:
    """All files below a folder, through links to folders too, and the names of hidden folders, which are left out."""
    files: list[Path] = []
    hidden: list[str] = []
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        here = Path(place)
        real = os.path.realpath(place)
        if real in seen:  # a link back to where we were
            folders.clear()
            continue
        seen.add(real)
        hidden += [f"{(here / name).relative_to(folder).as_posix()}/" for name in folders if name.startswith(".")]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [here / name for name in names if (here / name).is_file()]
    return sorted(files), sorted(hidden)


def _on_hub(dataset: str) -> Dataset:
    repository, revision, config, split = parse(dataset)
    if config or split:
        raise UserError(f"{dataset}: an audit reads the whole dataset; give {repository} or {repository}@revision.")
    try:
        from huggingface_hub import HfApi

        commit = HfApi().dataset_info(repository, revision=revision).sha
        names = sorted(HfApi().list_repo_files(repository, repo_type="dataset", revision=commit))
    except Exception as error:  # errors of several libraries
        raise unreachable(dataset, error) from None
    return _dataset([(f"datasets/{repository}/{name}", name) for name in names], commit, dataset)


def _dataset(
    named: list[tuple[str, str]], commit: str | None, dataset: str | Path, hidden: Sequence[str] = ()
) -> Dataset:
    parts: list[Part] = []
    names: list[str] = []
    unsearched = list(hidden)
    for path, name in named:
        inner = _members(path, name, commit)
        for number, whole in enumerate([name] if inner is None else [f"{name}/{member}" for member in inner]):
            found = _parts(path, whole, commit, None if inner is None else number)
            parts += found
            names.append(whole)
            if found is _NOTHING:
                unsearched.append(whole)
    if not parts:
        raise UserError(
            f"{dataset} holds no rows and no text; give a dataset with Parquet, Arrow, JSON, CSV or text files."
        )
    called = Part("", NAMES, "", "", "text", prose=True, said=(*names, *hidden))
    return Dataset(tuple(parts), tuple(unsearched), commit, called)


_NOTHING: Final[list[Part]] = []


def _members(path: str, name: str, commit: str | None) -> list[str] | None:
    """The names of an archive's members; None for any other file."""
    with open_file(path, commit, name) as raw:
        try:
            return members(raw)
        except archives.ERRORS as error:
            raise damaged(name, error) from None
        except Exception:  # a damaged packing is told of where the file is read
            return None


def _parts(path: str, name: str, commit: str | None, member: int | None) -> list[Part]:
    with open_file(path, commit, name, member) as raw:
        packed = is_packed(raw.read(6))
        raw.seek(0)
        try:
            file, head = opened(raw)
        except Exception as error:  # each packing has its own
            raise damaged(name, error) from None
        kind, encoding = kind_of(name, head), encoding_of(head)
        if kind is None:
            return _NOTHING if head else []
        prose = kind in ("text", "xml") or (name.endswith(".json") and head.lstrip()[:1] == b"{")
        config, split = ("", "") if prose else _config_and_split(name)
        whole = Part(path, name, config, split, kind, prose, encoding, commit, member=member)
        if packed or member is not None or (commit is not None and kind != "parquet"):
            return [whole]
        if kind == "parquet":
            return _groups(whole, file)
        if kind == "jsonl":
            size = raw.seek(0, 2)
            edges = [*range(0, size, CHUNK), size]
            return [_cut(whole, None, start, stop) for start, stop in pairwise(edges)]
        return [whole]


def _groups(whole: Part, file: IO[bytes]) -> list[Part]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            counts = [table.metadata.row_group(number).num_rows for number in range(table.num_row_groups)]
    except (pa.ArrowException, OSError) as error:
        raise damaged(whole.name, error) from None
    parts = []
    for group, count in enumerate(counts):
        stripes = 1 if whole.commit else min(STRIPES, -(-count // STRIPE))
        edges = [count * number // max(1, stripes) for number in range(stripes + 1)]
        parts += [_cut(whole, group, start, stop) for start, stop in pairwise(edges)]
    return parts or [_cut(whole, None, 0, 0)]


def _cut(whole: Part, group: int | None, start: int, stop: int) -> Part:
    return replace(whole, group=group, start=start, stop=stop)


def _config_and_split(name: str) -> tuple[str, str]:
    """By the usual layout: ``<config>/<split>-00000-of-00001.parquet``, and ``<split>/data-00000-of-00001.arrow``."""
    path = PurePosixPath(name)
    folders = path.parts[:-1]
    stem = _NUMBERED.sub("", path.name.split(".", 1)[0]) or path.name
    if stem == "data" and folders:
        stem, folders = folders[-1], folders[:-1]
    return "/".join(folders), stem


@contextmanager
def open_file(path: str, commit: str | None, name: str, member: int | None = None) -> Iterator[IO[bytes]]:
    """A file of this machine, or of the Hub at a commit, or the member of such an archive; UserError if it cannot be read."""
    if member is not None:
        with open_file(path, commit, name) as archive:
            try:
                with archives.member(archive, member) as inner:
                    yield inner
            except archives.ERRORS as error:
                raise damaged(name, error) from None
        return
    if commit is None:
        try:
            with Path(path).open("rb") as file:
                yield file
        except OSError as error:
            raise damaged(name, error) from None
        return
    try:
        from huggingface_hub import HfFileSystem

        with HfFileSystem().open(path, "rb", revision=commit) as remote, io.BufferedReader(remote, 1 << 16) as file:
            yield file
    except UserError:
        raise
    except Exception as error:  # errors of several libraries, in the midst of reading too
        raise unreachable(name, error) from None


def keyed(part: Part) -> bool:
    """Whether each row has keys of its own; those of a table's rows are its columns, which its heading names."""
    return part.kind in ("json", "jsonl")


def part_rows(part: Part) -> Iterator[Any]:
    """The rows of a part: dicts of tables, values of JSON, pieces of text."""
    if part.said:
        yield from part.said
        return
    with open_file(part.path, part.commit, part.name, part.member) as raw:
        if part.kind == "parquet" and part.stop is not None:
            yield from _stripe(part, raw)
            return
        file, _ = opened(raw)
        try:
            yield from rows(
                file, part.kind, part.name, strict=False, encoding=part.encoding, start=part.start, stop=part.stop
            )
        except EOFError as error:
            raise damaged(part.name, error) from None


def _stripe(part: Part, raw: IO[bytes]) -> Iterator[Any]:
    """What the file says of itself goes with its first rows: metadata can hold text too."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    stop = part.stop or 0
    try:
        with pq.ParquetFile(raw) as table:
            if not part.group and not part.start:
                yield heading(table.schema_arrow)
            if part.group is None:
                return
            seen = 0
            for batch in table.iter_batches(batch_size=BATCH, row_groups=[part.group]):
                first, seen = seen, seen + batch.num_rows
                if seen > part.start:
                    yield from dicts(batch.slice(max(0, part.start - first), stop - max(first, part.start)))
                if seen >= stop:
                    return
    except (pa.ArrowException, OSError) as error:
        raise damaged(part.name, error) from None
