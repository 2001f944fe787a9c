"""A teacher's texts: they tell the outcome, never more than the row holds, and what decides only once it was shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fhirtasks.episodes.text import WIRE
from fhirtasks.episodes.types import Episode, Message
from fhirtasks.release.check import check_derived
from fhirtasks.release.preference import has_pair
from fhirtasks.release.privileged import RESTS_ON_ONE, contexts, has_context
from fhirtasks.release.verify import verify
from fhirtasks.synthesis.partition import texts_of
from fhirtasks.tasks.codec import task_from_json
from fhirtasks.tasks.registry import families

Rows = list[dict[str, Any]]
BASE = "http://localhost:8080/fhir/"


def read(folder: Path, config: str, split: str = "train") -> Rows:
    return [row for path in sorted((folder / config).glob(f"{split}-*")) for row in pq.read_table(path).to_pylist()]


def edit(folder: Path, config: str, change: Callable[[Rows], Any]) -> None:
    (path,) = (folder / config).glob("train-*.parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    changed = change(rows)
    pq.write_table(pa.Table.from_pylist(rows if changed is None else changed, schema=table.schema), path)


def bundle(*resources: dict[str, Any], following: str = "") -> str:
    link = [{"relation": "next", "url": following}] if following else []
    entry = [{"resource": one} for one in resources]
    body = json.dumps({"resourceType": "Bundle", "link": link, "entry": entry})
    return str(WIRE["get_ok"]).format(body=body)


def result(id: str, value: float, time: str) -> dict[str, Any]:
    quantity = {"value": value, "unit": "mmol/L"}
    return {"resourceType": "Observation", "id": id, "effectiveDateTime": time, "valueQuantity": quantity}


PATIENT = {"resourceType": "Patient", "id": "p1", "birthDate": "1970-02-28", "identifier": [{"value": "M1"}]}
FOUND = [
    ("assistant", f"GET {BASE}Patient?identifier=M1"),
    ("user", bundle(PATIENT)),
    ("assistant", f"GET {BASE}Observation?patient=p1&code=K&date=le2023-11-13&_sort=-date"),
]


def texts(family: str, kind: str, said: list[tuple[str, str]], checks: tuple[str, ...] = ("answer",)) -> list[str]:
    messages = [{"role": role, "content": content} for role, content in [("user", "q"), *said]]
    about = {"family": family, "branch": "just_below", "kind": kind, "mode": "clinical"}
    return contexts(messages, about, {"mrn": "M1", "threshold": "3.5"}, checks)


def test_a_conditional_episode_turn_by_turn() -> None:
    order = {"resourceType": "ServiceRequest", "status": "active", "code": {"coding": [{"system": "s", "code": "K"}]}}
    older, newest = result("k1", 3.4, "2023-11-01T08:00:00Z"), result("k2", 3.4, "2023-11-12T08:00:00Z")
    found = texts(
        "potassium_replacement",
        "conditional",
        [
            *FOUND,
            ("user", bundle(older, newest)),
            ("assistant", f"POST {BASE}ServiceRequest\n{json.dumps(order)}"),
            ("user", WIRE["post_ok"]),
            ("assistant", "FINISH([3.4])"),
        ],
        ("answer", "writes_count"),
    )
    always = (
        "This is for a teacher who knows how the episode ends.\n"
        "Outcome: the episode passes every check of its grader (answer, writes_count). It creates one ServiceRequest, as the "
        "value calls for, and ends with [3.4].\nCase: just below.\nTerms of the request: mrn M1; threshold 3.5.\n"
    )
    search = "search Observation by patient, code, date, newest first"
    decides = "It rests on Observation/k2 (3.4 mmol/L, 2023-11-12T08:00:00Z).\n"
    both = "Read so far: reply 1 shows 1 Patient; reply 2 shows 2 Observation.\n"
    unknown = "What decides is still to be read.\n"
    assert found == [
        f"{always}Read so far: nothing.\n{unknown}Next: search Patient by identifier.\n"
        f"Then: {search}; create the ServiceRequest; finish with [3.4].",
        f"{always}Read so far: reply 1 shows 1 Patient.\n{unknown}Next: {search}.\n"
        "Then: create the ServiceRequest; finish with [3.4].",
        f"{always}{both}{decides}Next: create the ServiceRequest with status active; code K.\nThen: finish with [3.4].",
        f"{always}{both}{decides}Next: finish with [3.4].",
    ]


def test_an_absence_rests_on_nothing_shown() -> None:
    found = texts("latest_lab", "query", [*FOUND, ("user", bundle()), ("assistant", "FINISH([-1])")])
    assert "What decides is still to be read." in found[1] and "It rests on" not in "".join(found)
    assert "reply 2 shows no entry." in found[2] and "No reply shows anything that counts." in found[2]


def test_what_is_worked_out_rests_on_every_result_of_all_pages() -> None:
    url = f"{BASE}Observation?patient=p1&code=K&_offset=1"
    said = [
        *FOUND,
        ("user", bundle(result("k1", 4, "2023-11-12"), following=url)),
        ("assistant", f"GET {url}"),
        ("user", bundle(result("k2", 5, "2023-11-11"))),
        ("assistant", "FINISH([4.5])"),
    ]
    found = texts("mean_lab_in_window", "query", said)
    assert "read the next page of the Observation search" in found[0]
    assert all("It rests on" not in text for text in found[:3])
    assert "It rests on Observation/k1 (4 mmol/L, 2023-11-12); Observation/k2 (5 mmol/L, 2023-11-11)." in found[3]


def test_long_lists_are_cut() -> None:
    many = [result(f"k{n}", n, "2023-11-12") for n in range(50)]
    found = texts("mean_lab_in_window", "query", [*FOUND, ("user", bundle(*many)), ("assistant", "FINISH([24.5])")])
    assert found[-1].count("Observation/k") == 30 and " and 20 more." in found[-1]


def test_families_that_rest_on_one_resource_are_there() -> None:
    assert not RESTS_ON_ONE - {family.name for family in families()}


def test_there_is_a_text_for_every_turn_of_a_share_of_the_rows(release: Path) -> None:
    mine = [row for row in read(release, "sft") if has_context(row["content_hash"])]
    turns = [row for row in read(release, "sft_turns") if has_context(row["content_hash"])]
    found = read(release, "privileged")
    assert mine and len(found) == len(turns)
    for row, turn in zip(found, turns, strict=True):
        assert {name: row[name] for name in row if name != "privileged_context"} == {
            name: turn[name] for name in row if name != "privileged_context"
        }
        assert row["prompt"][-1]["role"] == "user"
    assert not [
        content for content in (f"{n:064x}" for n in range(2**10)) if has_pair(content) and has_context(content)
    ]


def test_the_holdout_filter_sees_them(release: Path) -> None:
    found = read(release, "privileged")
    for row in read(release, "sft"):
        task = task_from_json(row["task"])
        messages = tuple(Message(one["role"], one["content"]) for one in row["messages"])
        seen = set(texts_of(task, Episode(task.id, messages, (), "completed", None)))
        wanted = [one["privileged_context"] for one in found if one["content_hash"] == row["content_hash"]]
        assert {re.sub(r"grader \(.*?\)", "grader ()", text) for text in wanted} <= seen


def test_nothing_is_told_that_the_row_does_not_hold(release: Path) -> None:
    """Every word with a digit, counts apart, stands in the episode; what decides, in what was shown so far."""
    sft = {row["content_hash"]: row for row in read(release, "sft")}
    for row in read(release, "privileged"):
        said = "\n".join(message["content"] for message in sft[row["content_hash"]]["messages"])
        said += row["branch"]
        text = re.sub(r"reply \d+ shows \d+( \w+, \d+)*|and \d+ more|, \d+ ", " ", row["privileged_context"])
        words = {word.strip("[](){};:,.\"'") for word in text.split()}
        strange = [word for word in words if re.search(r"\d", word) and word not in said]
        assert not strange, (strange, row["privileged_context"])
        so_far = "\n".join(message["content"] for message in row["prompt"])
        for line in row["privileged_context"].split("\n"):
            if line.startswith("It rests on "):
                for reference in re.findall(r"\w+/[\w-]+(?= \()", line):
                    assert f'"id":"{reference.partition("/")[2]}"' in so_far


TAMPERING: dict[str, Callable[[Rows], Any]] = {
    "context": lambda rows: rows[1].update(privileged_context=rows[1]["privileged_context"].replace("1", "2", 1)),
    "prompt": lambda rows: rows[1]["prompt"][-1].update(content="x"),
    "completion": lambda rows: rows[1]["completion"][0].update(content="FINISH([0])"),
    "turn": lambda rows: rows[1].update(turn=7),
    "id": lambda rows: rows[1].update(id="x"),
    "null": lambda rows: rows[1].update(privileged_context=None),
    "row removed": lambda rows: rows[1:],
    "row added": lambda rows: [*rows, rows[-1]],
    "no rows": lambda rows: [],
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_found_without_hashes(name: str, copy: Callable[[], Path]) -> None:
    folder = copy()
    edit(folder, "privileged", TAMPERING[name])
    assert [failure.config for failure in check_derived(folder, "train")] == ["privileged"]


def test_a_changed_text_is_named(copy: Callable[[], Path]) -> None:
    folder = copy()
    edit(folder, "privileged", TAMPERING["context"])
    (failure,) = [one for one in verify(folder, hashes=False).failures if "config" in one]
    assert (failure["config"], failure["split"], failure["row"]) == ("privileged", "train", 1)


@pytest.mark.parametrize("column", ["task", "verdict", "content_hash", "messages"])
def test_a_damaged_row_of_sft_is_a_failure_like_others(column: str, copy: Callable[[], Path]) -> None:
    folder = copy()
    content = read(folder, "privileged")[0]["content_hash"]

    def damage(rows: Rows) -> None:
        row = next(row for row in rows if row["content_hash"] == content)
        row[column] = [] if column == "messages" else "{"

    edit(folder, "sft", damage)
    failures = list(check_derived(folder, "train"))
    assert "privileged" in {failure.config for failure in failures}, failures


@pytest.mark.parametrize("damage", ["missing", "no parquet"])
def test_damage_is_named(damage: str, copy: Callable[[], Path]) -> None:
    folder = copy()
    (path,) = (folder / "privileged").glob("train-*.parquet")
    if damage == "missing":
        path.unlink()
    else:
        path.write_text("hello")
    failures = verify(folder, hashes=False).failures
    assert path.relative_to(folder).as_posix() in [failure.get("file") for failure in failures], failures
