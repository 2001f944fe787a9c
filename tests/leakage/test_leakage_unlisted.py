"""Leaks in forms that nobody lists: other writings of names, dates and numbers, and places that readers pass over."""

from __future__ import annotations

import base64
import io
import json
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.benchmarks.kinds import encoding_of
from fhirtasks.leakage.audit import audit
from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.leakage.matcher import Matcher
from fhirtasks.leakage.reading import find_parts
from fhirtasks.leakage.texts import row_texts
from fhirtasks.population.taskfile import Person

MRN = "K7314592"
UUID = "8f14e45f-ceea-467a-9575-2f3bd4a1c0de"


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    people = (
        Person("Otto Anselm Brandvik", date(1931, 10, 29)),
        Person("Zoë Müller-Größe", date(1958, 7, 4)),
        Person("José Ávila", date(1971, 11, 23)),
    )
    return Matcher(Holdouts.of([HeldOut("b", "1", (), (MRN, UUID), people, ("555-867-5309",))]))


def kinds(matcher: Matcher, row: Any) -> set[str]:
    return {match.matcher for match in matcher.find([text for _, text in row_texts(row, keys=True)])}


def in_lines(width: int) -> str:
    coded = base64.b64encode(f"Please look at the chart of the patient with number {MRN} first.".encode()).decode()
    return "\n".join(coded[start : start + width] for start in range(0, len(coded), width))


@pytest.mark.parametrize(
    "text",
    [
        "number **K731**\n\n**4592**", "number K731<br>4592", "number K731\n> 4592",
        "".join(f"<span>{letter}</span>" for letter in MRN), "<b>K731</b> <i class='x'>4592</i>",
        "".join(f"&#{ord(letter)}" for letter in MRN), UUID.replace("-467", "-\n   467"),
        "K seventy-three fourteen fifty-nine two", "K seven hundred thirty-one forty-five ninety-two",
        *map(in_lines, (21, 30, 50, 57, 61, 64, 76)),
    ],
)  # fmt: skip
def test_an_identifier_is_found(matcher: Matcher, text: str) -> None:
    assert kinds(matcher, {"text": text}) == {"identifier"}


@pytest.mark.parametrize(
    "text",
    [
        "Otto Brandvik, born October twenty-ninth, nineteen thirty-one",
        "Otto Brandvik, born on the twenty-ninth of October nineteen thirty-one",
        "Otto Brandvik, the 29th day of October, 1931", "Brandvik, O. 1931/29/10",
        "PID|1||X||BRANDVIK^OTTO^A||19311029133000|M", "Zoe Mueller-Groesse, 4 July 1958",
        "Zoe Muller Grosse 1958-07-04", "JosÃ© Ã\u0081vila, 1971-11-23", r"b'Jos\xc3\xa9 \xc3\x81vila 1971-11-23'",
    ],
)  # fmt: skip
def test_a_person_is_found(matcher: Matcher, text: str) -> None:
    assert kinds(matcher, {"text": text}) == {"person"}


def test_a_name_written_with_two_letters_for_an_umlaut_is_found_under_one() -> None:
    matcher = Matcher(Holdouts.of([HeldOut("b", "1", people=(Person("Joerg Moeller", date(1960, 2, 3)),))]))
    assert kinds(matcher, {"text": "Jörg Möller, 3.2.1960"}) == {"person"}
    assert kinds(matcher, {"text": "Jörg Mahler, 3.2.1960"}) == set()


@pytest.mark.parametrize(
    "text",
    [
        "K seventy-three fourteen fifty-nine three", "double five five, eight six seven, five three oh eight",
        "rows K731 and\n\n\n\n\n\n\n\n\n\n\n\n\n\n4592", "<td>731</td><td>4592</td>",
        "Otto Brandvik, born October twenty-eighth, nineteen thirty-one", "BRANDVIK^OTTO||193110291330001",
        "Otto Brandvik 1931/29/11", "the first of twenty-one hundred visits",
    ],
)  # fmt: skip
def test_what_is_another_s_is_clean(matcher: Matcher, text: str) -> None:
    assert kinds(matcher, {"text": text}) == set()


def test_numbers_in_words_are_read_as_people_say_them(matcher: Matcher) -> None:
    assert kinds(matcher, {"text": "call triple five, eight six seven, five three oh nine"}) == {"phone"}
    assert kinds(matcher, {"text": "five hundred fifty-five, eight sixty-seven, fifty-three oh nine"}) == {"phone"}


CALL = {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
HALVES = [
    [
        {"role": "user", "content": "K731", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "4592"},
    ],
    [
        {"id": "m1", "role": "user", "content": "K731", "weight": 0},
        {"id": "m2", "role": "assistant", "content": "4592"},
    ],
    [{"role": "user", "content": [{"type": "text", "text": "K731"}, {"type": "text", "text": "4592"}]}],
    [{"from": "human", "value": "K731", "weight": 1.0}, {"from": "gpt", "value": "4592"}],
]


@pytest.mark.parametrize("messages", HALVES)
def test_what_stands_between_two_messages_but_is_not_said_hides_nothing(matcher: Matcher, messages: Any) -> None:
    assert kinds(matcher, {"messages": messages}) == {"identifier"}


def test_keys_that_may_be_somebody_s_are_texts(matcher: Matcher) -> None:
    assert kinds(matcher, {MRN: {"weight": 70}}) == {"identifier"}
    assert kinds(matcher, {"by name": {"Otto Brandvik": {"birthDate": "1931-10-29"}}}) == {"person"}


def parquet(table: pa.Table) -> Callable[[Path], None]:
    return lambda folder: pq.write_table(table, folder / "train.parquet")


def text(name: str, content: str | bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


def arrow(table: pa.Table) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        with pa.OSFile(str(folder / "x.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)

    return write


def packed(names: list[str], bodies: list[bytes], tar: bool) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zipfile's, of the name that is there twice
            if tar:
                with tarfile.open(folder / "all.tar.gz", "w:gz") as archive:
                    for name, body in zip(names, bodies, strict=True):
                        entry = tarfile.TarInfo(name)
                        entry.size = len(body)
                        archive.addfile(entry, io.BytesIO(body))
                return
            with zipfile.ZipFile(folder / "all.zip", "w") as zipped:
                for name, body in zip(names, bodies, strict=True):
                    zipped.writestr(name, body)

    return write


def linked(folder: Path) -> None:
    other = folder.parent / "elsewhere"
    other.mkdir()
    (other / "notes.txt").write_text(MRN)
    (other / "back").symlink_to(folder)
    (folder / "more").symlink_to(other)


ONE = pa.table({"a": [1]})
PLACES: dict[str, Callable[[Path], None]] = {
    "a column that the header has twice": text("x.csv", f"text,text\n{MRN},fine\n"),
    "columns without names": text("x.csv", f",,\n{MRN},fine,ok\n"),
    "a cell beyond the header": text("x.csv", f"column 2,b\n{MRN},y,z\n"),
    "a key that a line has twice": text("x.jsonl", f'{{"text": "{MRN}", "text": "fine"}}\n'),
    "a key that an object has twice": text("x.json", f'[{{"text": "{MRN}", "text": "fine"}}]'),
    "a key of a row": text("x.jsonl", f'{{"{MRN}": 70}}\n{{"x": 1}}\n'),
    "a key of a file": text("x.json", json.dumps({MRN: {"weight": 70}}, indent=1)),
    "UTF-16 without a mark": text("x.csv", f"a,b\nx,{MRN}\n".encode("utf-16-le")),
    "a text with a stray NUL": text("x.csv", f"a,b\nx,{MRN}\0\n"),
    "a file's name": text(f"{MRN}.jsonl", '{"a": 1}\n'),
    "a folder's name": text(f"{MRN}/x.jsonl", '{"a": 1}\n'),
    "a picture's name": text(f"{MRN}.png", b"\x89PNG\r\n\x1a\n\0\0\0"),
    "a member's name": packed([f"{MRN}.txt"], [b"hello"], False),
    "a member that another hides": packed(["a.txt", "a.txt"], [MRN.encode(), b"fine"], False),
    "the same in a tar file": packed(["a.txt", "a.txt"], [MRN.encode(), b"fine"], True),
    "a linked folder": linked,
    "a key of metadata": parquet(ONE.replace_schema_metadata({MRN: "k"})),
    "a field's metadata": parquet(ONE.cast(pa.schema([pa.field("a", pa.int64(), metadata={"of": MRN})]))),
    "a column that Parquet has twice": parquet(pa.Table.from_arrays([pa.array([MRN]), pa.array(["x"])], ["t", "t"])),
    "Arrow's metadata": arrow(ONE.replace_schema_metadata({"k": MRN})),
    "a column's name in Arrow": arrow(pa.table({MRN: [1]})),
}


@pytest.mark.parametrize("place", PLACES)
def test_an_audit_passes_over_no_place(tmp_path: Path, place: str) -> None:
    (tmp_path / "tasks.json").write_text(
        json.dumps([{"id": "1", "instruction": f"Weigh {MRN}.", "context": "", "eval_MRN": MRN, "sol": []}])
    )
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "other.txt").write_text("nothing to see")
    PLACES[place](folder)
    report = audit(folder, [tmp_path / "tasks.json"], each=1, clean=1)
    assert {finding.matcher for finding in report.findings} == {"identifier"}


def test_hidden_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / ".data").mkdir()
    (tmp_path / ".data" / "x.txt").write_text(MRN)
    (tmp_path / "other.txt").write_text("nothing to see")
    assert find_parts(tmp_path).unsearched == (".data/",)


def test_bytes_with_nuls_are_text_only_where_they_read_as_one() -> None:
    assert encoding_of("Müller, 12".encode("utf-16-be")) == "utf-16-be"
    assert encoding_of(b"a,b\0\n1,2\n") == "utf-8-sig"
    assert encoding_of(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1") is None
    assert encoding_of(b"SQLite format 3\0\x10\0\x01\x01\0@  \0\0\0\x07") is None
    assert encoding_of(bytes(range(256)) * 4) is None
