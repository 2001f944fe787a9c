"""An audit reads every file of a dataset, whatever it is, and knows where each text stands."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirtasks.benchmarks.files import BLOCK, OVERLAP, Heading
from fhirtasks.errors import UserError
from fhirtasks.leakage import reading
from fhirtasks.leakage.reading import find_parts, part_rows
from fhirtasks.leakage.texts import row_texts


def read(dataset: Path) -> dict[str, list[Any]]:
    """Rows by config/split, headings left out."""
    found: dict[str, list[Any]] = {}
    for part in find_parts(dataset).parts:
        rows = [row for row in part_rows(part) if not isinstance(row, Heading)]
        found.setdefault(f"{part.config}/{part.split}", []).extend(rows)
    return found


ROWS = [{"id": f"r{number}", "text": f"row {number} with é"} for number in range(5)]


def test_every_kind_of_file_gives_its_rows(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    (tmp_path / "cfg").mkdir()
    pq.write_table(table, tmp_path / "cfg" / "train-00000-of-00001.parquet", row_group_size=2)
    (tmp_path / "saved" / "test").mkdir(parents=True)
    saved = str(tmp_path / "saved" / "test" / "data-00000-of-00001.arrow")
    with pa.OSFile(saved, "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "lines.jsonl").write_text(lines)
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "list.json").write_text(json.dumps(ROWS, indent=1))
    (tmp_path / "table.csv").write_text("id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in ROWS))
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.json").write_text("[1]")
    found = read(tmp_path)
    assert found == dict.fromkeys(("cfg/train", "saved/test", "/lines", "/packed", "/list", "/table"), ROWS)


def test_datasets_saved_to_disk_are_read(tmp_path: Path) -> None:
    import datasets

    folder = tmp_path / "saved"
    datasets.DatasetDict(
        {"train": datasets.Dataset.from_list(ROWS), "test": datasets.Dataset.from_list(ROWS[:2])}
    ).save_to_disk(folder)
    found = read(folder)
    assert found["/train"] == ROWS and found["/test"] == ROWS[:2]


def test_shards_follow_each_other(tmp_path: Path) -> None:
    for shard in range(3):
        pq.write_table(pa.Table.from_pylist(ROWS[shard : shard + 1]), tmp_path / f"train-{shard:05d}-of-00003.parquet")
    assert read(tmp_path) == {"/train": ROWS[:3]}


@settings(deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=30), min_size=1, max_size=40), st.integers(1, 200))
def test_lines_are_cut_into_parts_without_loss(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], chunk: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "lines.jsonl"
    rows = [{"text": text} for text in texts]
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=number % 2 == 0) + "\n" for number, row in enumerate(rows)), "utf-8"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "CHUNK", chunk)
        assert read(path) == {"/lines": rows}


@pytest.mark.parametrize("rows", [1, 7, 100])
def test_row_groups_are_cut_into_parts_without_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(reading, "STRIPE", 3)
    monkeypatch.setattr(reading, "BATCH", 2)
    values = [{"n": number} for number in range(rows)]
    pq.write_table(pa.Table.from_pylist(values), tmp_path / "train.parquet", row_group_size=40)
    assert read(tmp_path) == {"/train": values}
    assert len(find_parts(tmp_path).parts) >= min(rows, 2)


def test_what_a_file_says_beside_its_rows_is_read(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS).replace_schema_metadata({"note": "about Q1234567"})
    pq.write_table(table, tmp_path / "train.parquet")
    (tmp_path / "bare.csv").write_text("Q1234567,Ann Moe\nQ7654321,Al Roe\n")
    texts = [
        row_texts(row) for part in find_parts(tmp_path).parts for row in part_rows(part) if isinstance(row, Heading)
    ]
    assert [("columns[0]", "Q1234567"), ("columns[1]", "Ann Moe")] in texts
    assert any(("metadata[0]", "about Q1234567") in found for found in texts)


def test_damaged_lines_are_read_as_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": Q1234567\n{"a": NaN}\n')
    (tmp_path / "b.json").write_text('[{"a": 1}, {"a": Q7654321, "b": "' + "x" * 10)
    found = read(tmp_path)
    assert found["/a"][:2] == [{"a": 1}, '{"a": Q1234567\n']
    assert found["/b"][0] == {"a": 1} and "Q7654321" in found["/b"][1]


def test_long_texts_come_in_pieces_that_overlap(tmp_path: Path) -> None:
    text = "".join(f"word{number} " for number in range(40_000))
    (tmp_path / "README.md").write_text(text)
    (found,) = read(tmp_path).values()
    assert all(len(piece) <= BLOCK for piece in found)
    whole = found[0] + "".join(piece[OVERLAP:] for piece in found[1:])
    assert whole == text


def test_what_holds_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "scan.png").write_bytes(b"\x89PNG\x00\x01")
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "empty.txt").write_text("")
    assert find_parts(tmp_path).unsearched == ("scan.png",)


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_other_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("Zoë Müller".encode(encoding))
    assert read(tmp_path) == {"/": ["Zoë Müller"]}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x.parquet", b"PAR1 no", "x.parquet cannot be read"),
        ("x.arrow", b"ARROW1 no", "x.arrow cannot be read"),
        ("x.jsonl.gz", gzip.compress(json.dumps(ROWS).encode(), mtime=0)[:-9], "x.jsonl.gz cannot be read"),
        ("x.png", b"\x00\x01", "holds no rows"),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path: Path, name: str, value: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(value)
    with pytest.raises(UserError, match=message):
        read(tmp_path)


def test_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no folder or file"):
        find_parts(tmp_path / "none")
    with pytest.raises(UserError, match="holds no rows"):
        find_parts(tmp_path)
    with pytest.raises(UserError, match="reads the whole dataset"):
        find_parts("hub:org/name:cfg")


def test_every_text_of_a_row_has_its_place() -> None:
    row = {
        "messages": [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two", "tool_calls": [{"id": "t1"}]},
        ],
        "n": 3,
        "score": Decimal("1.10"),
        "born": date(1932, 12, 29),
        "raw": b'{"a": 1}',
        "image": b"\x89PNG\x00",
        "by_patient": {"Q1234567": {"x": True, "y": None}, "plain": ["z"]},
    }
    assert row_texts(row) == [
        ("messages[0].content", "one"), ("messages[1].content", "two"), ("n", "3"), ("score", "1.10"), ("born", "1932-12-29"),
        ("raw", '{"a": 1}'), ("by_patient.plain[0]", "z"), ("messages[1].tool_calls[0].id", "t1"),
        ("by_patient.Q1234567 (key)", "Q1234567"),
    ]  # fmt: skip
    assert row_texts("alone") == [("", "alone")]


def test_a_resource_that_is_an_object_is_one_text() -> None:
    resource = {
        "resourceType": "Observation",
        "valueQuantity": {"value": Decimal("1.10"), "unit": None},
        "on": date(2020, 1, 2),
        "x": float("nan"),
    }
    told = '{"resourceType":"Observation","valueQuantity":{"value":1.10},"on":"2020-01-02","x":"nan"}'
    assert row_texts(resource) == [("resource", told)]
    assert row_texts({"entry": [{"resource": resource}]}) == [("entry[0].resource", told)]


def test_members_of_archives_are_read_as_files(tmp_path: Path) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet", row_group_size=2)
    packed = (tmp_path / "rows.parquet").read_bytes()
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in/train.jsonl", lines)
        archive.writestr("in/test.parquet", packed)
        archive.writestr("in/x.bin", b"\x00\x01")
    for name, mode in (("plain.tar", "w"), ("packed.tar.gz", "w:gz")):
        with tarfile.open(tmp_path / name, mode) as tar:  # type: ignore[call-overload]
            for inner, data in (("a/train.jsonl", lines), ("a/test.parquet", packed)):
                entry = tarfile.TarInfo(inner)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    (tmp_path / "rows.parquet").unlink()
    assert read(tmp_path) == {
        f"{archive}/{folder}/{split}": ROWS
        for archive, folder in (("all.zip", "in"), ("plain.tar", "a"), ("packed.tar.gz", "a"))
        for split in ("train", "test")
    }
    assert find_parts(tmp_path).unsearched == ("all.zip/in/x.bin",)


@pytest.mark.parametrize("cut", [60, 200])
def test_a_cut_off_archive_is_refused(cut: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("train.jsonl", b'{"a":1}\n' * 40)
    (tmp_path / "all.zip").write_bytes((tmp_path / "all.zip").read_bytes()[:cut])
    with pytest.raises(UserError, match=r"all\.zip cannot be read"):
        find_parts(tmp_path)
