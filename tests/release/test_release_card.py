"""The card: metadata that the Hub takes, sentences that are true of the rows, other people's text as text."""

from __future__ import annotations

import copy as copies
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard, DatasetCardData
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from fhirtasks.cli import app
from fhirtasks.leakage.policy import read_policy
from fhirtasks.release.card import card, command, front_matter
from fhirtasks.release.croissant import croissant
from fhirtasks.release.documents import EPISODES, in_order
from fhirtasks.release.example import WIDTH, choose, shown
from fhirtasks.release.features import CONFIGS
from fhirtasks.release.manifest import read_manifest
from fhirtasks.release.markdown import block, code, plain
from fhirtasks.release.sample import sample

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")
HUB_LICENCES = {
    *(
        "apache-2.0",
        "mit",
        "bsd-2-clause",
        "bsd-3-clause",
        "c-uda",
        "cc0-1.0",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-sa-3.0",
    ),
    *("cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "cdla-sharing-1.0"),
    *("cdla-permissive-1.0", "cdla-permissive-2.0", "etalab-2.0", "odc-by", "odbl", "unlicense", "pddl", "0bsd"),
    *("unknown", "other"),
}
"""Of https://huggingface.co/docs/hub/repositories-licenses, what data may come under."""


@pytest.fixture(scope="module")
def manifest(release: Path) -> dict[str, Any]:
    return in_order(read_manifest(release))


@pytest.fixture(scope="module")
def rows(release: Path, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return sample(release, "sft", list(manifest["splits"]), by=("branch", "origin"), limit=EPISODES)


def front(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(front_matter(manifest))
    return found


def rendered(text: str) -> str:
    return str(MARKDOWN.render(re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)))


def source(**about: Any) -> dict[str, Any]:
    return {"name": "s", "licence": None, "origin": None, "real_patients": False, "citation": None} | about


def test_the_hub_library_reads_the_metadata_and_gives_it_back(release: Path) -> None:
    found = DatasetCard.load(release / "README.md")
    data = found.data.to_dict()
    assert DatasetCardData(**data).to_dict() == data
    assert data["license"] == ["cc0-1.0"] and data["language"] == ["en"] and data["size_categories"] == ["n<1K"]
    assert set(data["task_categories"]) <= {"text-generation", "reinforcement-learning", "question-answering"}
    assert all(re.fullmatch(r"[a-z0-9-]+", tag) for tag in data["tags"])
    assert [one["config_name"] for one in data["configs"]] == list(CONFIGS)
    for one in data["configs"]:
        for files in one["data_files"]:
            matched = sorted(release.glob(files["path"]))
            assert matched and all(path.suffix == ".parquet" for path in matched)


def test_licences_are_the_hubs_own_names(manifest: dict[str, Any]) -> None:
    cases: list[tuple[list[str | None], list[str], str | None]] = [
        (["ODbL-1.0"], ["odbl"], None),
        (["odbl-1.0", "CC0-1.0"], ["cc0-1.0", "odbl"], None),
        ([None], ["unknown"], None),
        ([], ["unknown"], None),
        (["My: own\n- licence"], ["other"], "My: own\n- licence"),
    ]
    for names, hub, named in cases:
        made = front(manifest | {"sources": [source(licence=name) for name in names]})
        assert made["license"] == hub and made.get("license_name") == named
        assert set(made["license"]) <= HUB_LICENCES
        assert [one["config_name"] for one in made["configs"]] == list(CONFIGS)


def test_rows_of_mimic_carry_terms_and_citation(manifest: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    citation = "Bennett A: MIMIC-IV on FHIR, doi 10.13026/c2f9-3y63"
    mimic = source(
        name="demo.ndjson", licence="ODbL-1.0", origin="https://physionet.org/", real_patients=True, citation=citation
    )
    options = manifest["options"] | {"population": None}
    html = rendered(card(manifest | {"sources": [mimic], "options": options}, rows))
    assert "share what is made from it under ODbL 1.0" in html and citation in html
    assert "Records of real people" in html and "demo.ndjson" in html
    assert "synthetic" not in html and "Records of real people" not in rendered(card(manifest, rows))


def test_the_example_is_an_episode_of_the_release(manifest: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    chosen = choose(rows)
    assert chosen is not None
    text = shown(chosen)
    assert "POST http" in text and "FINISH(" in text and "valueQuantity" in text
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert text in card(manifest, rows)
    assert json.loads(chosen["task"])["instruction"].split()[0] in text


def test_the_card_says_what_the_manifest_says(manifest: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    html = rendered(card(manifest, rows))
    for name, family in manifest["families"].items():
        assert f"<code>{name}</code>" in html
        floors = manifest["floors"]["families"][name]
        cells = "".join(f'<td style="text-align:right">{n}</td>\n' for n in (floors["tasks"],) * 2)
        assert cells in html
        assert all(f"<code>{branch}</code>" in html for branch in family["branches"])
    for value in (manifest["graph"], *(split["world"] for split in manifest["splits"].values())):
        assert value in html
    assert "nothing" in html and "fhirtasks verify" in html


def test_the_command_is_one_that_the_command_line_takes(manifest: dict[str, Any]) -> None:
    from typer.testing import CliRunner

    options = manifest["options"] | {"families": {"patient_age": "1", "patient's; rm -rf /": "1"}}
    words = shlex.split(command(options).replace("\\\n", " "))
    assert words[:3] == ["$", "fhirtasks", "build"] and "patient's; rm -rf /" in words
    refused = CliRunner().invoke(app, words[2:])
    assert "No such option" not in refused.output
    assert "no family matches" in str(refused.exception)
    asked = {
        "extend": "d",
        "tokenizer": "d",
        "holdouts": "d",
        "policy": "d",
        "rollouts": ["d", "e"],
        "population": None,
    }
    words = shlex.split(command(options | asked).replace("\\\n", " "))
    assert [word for word in words if word.startswith("--") and word != "--families"] == [
        *("--mode", "--protocol", "--per-family", "--seed", "--extend", "--tokenizer", "--holdout", "--policy"),
        *("--rollouts", "--rollouts", "--out"),
    ]  # fmt: skip
    assert "No such option" not in CliRunner().invoke(app, words[2:]).output
    assert "--policy" not in command(options | {"holdouts": "d", "policy": read_policy(None).digest})
    assert command({"merge": ["a", "b"]}) == "$ fhirtasks merge RELEASE-1 RELEASE-2 --out DIR"


def test_snippets_are_python_and_the_environment_works(release: Path) -> None:
    text = (release / "README.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(snippets) == 3
    for snippet in snippets:
        made = compile(snippet.replace("path/to/this/folder", str(release)), "snippet", "exec")
        if "trl" not in snippet:
            space: dict[str, Any] = {}
            exec(made, space)
            assert space.get("reward", 0.0) == 0.0
            assert (
                "episodes" not in space or len(space["episodes"]) == read_manifest(release)["splits"]["train"]["rows"]
            )


def test_what_was_held_out_is_counted(manifest: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    assert "| **held out** | nothing |" in card(manifest, rows)
    items = {"items": 300, "people": 30, "phones": 0}
    stated = {"digest": "ab" * 32, "items": items}
    text = card(manifest | {"holdouts": stated, "dropped": {"holdout": 3, "graded: answer": 2}}, rows)
    assert "| **held out** | 300 items, 30 people (digest `abababababababab`) |" in text
    assert "Left out for it: 3 × holdout." in text and "phones" not in text


def test_rollouts_are_counted_by_model(manifest: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    told = {"file": "d", "model": "acme/m|1", "transcripts": 1600, "kept": 53, "other_replies": 0}
    told |= {"cleaned": {"reasoning": 27}, "dropped": {"wrong answer": 80, "duplicate": 27}}
    text = card(manifest | {"rollouts": [told], "models": {"acme/m|1": 53}}, rows)
    assert "| acme/m\\|1 | 1,600 | 53 | 27 × reasoning | 80 × wrong answer, 27 × duplicate |" in text
    assert "Model rollouts" not in card(manifest, rows)


def test_what_a_release_has_not_is_not_spoken_of(manifest: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    files = {
        path: about for path, about in manifest["files"].items() if not path.startswith(("preference/", "privileged/"))
    }
    bare = manifest | {"files": files, "options": manifest["options"] | {"protocol": "tools"}}
    text = card(bare, rows)
    assert not re.search(r"preference|privileged|DPO|FINISH\(\[\]\)", text.split("## Load")[1].split("## Verify")[0])
    assert [one["config_name"] for one in front(bare)["configs"]] == ["sft", "sft_turns", "rl", "charts", "dropped"]
    assert {one["name"] for one in json.loads(croissant(bare))["recordSet"]} == {
        "sft",
        "sft_turns",
        "rl",
        "charts",
        "dropped",
    }
    for snippet in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        compile(snippet, "snippet", "exec")


HOSTILE = [
    "</details><script>alert(1)</script>", "| a | b |", "`code` ```\n# Heading", "[x](javascript:alert(1))",
    "---\nlicense: mit\n---",
    "*bold* _it_ ~~no~~ <b>&amp;", "\u202egnihtyna\u0000\u001b[31m", "![i](http://evil/x.png)", "$graph ${graph}", "a\\`b",
]  # fmt: skip


@pytest.mark.parametrize("evil", HOSTILE)
def test_what_others_name_stays_text(evil: str, manifest: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    bad = copies.deepcopy(manifest)
    family = next(iter(bad["families"]))
    for names in (bad["families"], bad["lengths"], bad["options"]["families"], bad["floors"]["families"]):
        names[evil] = names.pop(family)
    bad["families"][evil]["branches"][evil] = {"quota": 1, "kept": 1, "native": 1, "overlaid": 0}
    bad |= {"notes": [evil], "unsupported": {evil: evil}, "dropped": {evil: 3}}
    bad["sources"] = [source(name=evil, licence=evil, origin=evil, citation=evil, real_patients=True)]
    hostile = [copies.deepcopy(row) | {"family": evil, "branch": evil} for row in rows]
    for row in hostile:
        for message in row["messages"]:
            message["content"] += evil
    text = card(bad, hostile)
    html = rendered(text)
    assert not re.search(r"<script|<img|<b>|<a href=\"(?!report.html|traces|https://spdx.org/)", html)
    clean = rendered(card(manifest, rows))
    for tag in ("<h1", "<h2", "<h3", "<table", "<details", "<pre", "<a "):
        extra = 1 if tag == "<a " else 0
        assert abs(html.count(tag) - clean.count(tag)) <= extra, tag
    assert yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))["license"] == ["other"]
    assert not [one for one in text if not one.isprintable() and one != "\n"]


@given(st.text(max_size=60))
@example("```\n# no heading\n````")
@example("<b> \\< & &amp; [a](b) ![c](d) *e* _f_ `g` ``h | i")
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    def said(markdown: str) -> str:
        tokens = MARKDOWN.parse(markdown)
        inner = [child for token in tokens for child in (token.children or [])]
        assert {child.type for child in inner} <= {"text", "code_inline", "text_special"}, inner
        return "".join(child.content for child in inner)

    printable = all(one.isprintable() or one.isspace() for one in text)
    words = " ".join(text.split())
    if words and printable and all(one.isprintable() for one in words):
        assert said(f"x {plain(text)} x") == f"x {words} x"
        assert said(f"x {code(text)} x").replace("\\|", "|") == f"x {words} x"
    (token,) = MARKDOWN.parse(block(text))
    assert token.type == "fence"
