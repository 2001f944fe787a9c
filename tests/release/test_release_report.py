"""report.html: self-contained, bounded, the same bytes again, and no name that anybody gives gets out of its place."""

from __future__ import annotations

import base64
import copy as copies
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirtasks.release.documents import in_order
from fhirtasks.release.figures import Figure, figures
from fhirtasks.release.manifest import read_manifest
from fhirtasks.release.report import embedded, episodes, report, without_figures
from fhirtasks.release.sample import sample

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&<!--"


class Page(HTMLParser):
    """Tags with their attributes, text by the element it is in, the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data


@pytest.fixture(scope="module")
def manifest(release: Path) -> dict[str, Any]:
    return in_order(read_manifest(release))


@pytest.fixture(scope="module")
def page(release: Path) -> str:
    return (release / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def drawn(manifest: dict[str, Any]) -> list[Figure]:
    return figures(manifest)


def samples(release: Path, manifest: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    splits = list(manifest["splits"])
    rows = sample(release, "sft", splits, by=("branch", "origin"), limit=20)
    return rows, sample(release, "preference", splits, by=("mutant",), limit=8)


def test_it_asks_nobody_for_anything(page: str) -> None:
    found = Page(page)
    for tag, attributes in found.tags:
        assert tag not in ("iframe", "object", "embed", "img", "base")
        for name in ("src", "href", "xlink:href", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:,")), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")]
    style = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)[0]
    assert "url(" not in style and "@import" not in style
    assert not re.search(
        r"\b(fetch|XMLHttpRequest|WebSocket|sendBeacon|EventSource|innerHTML|eval)\b", found.scripts[-1]
    )


def test_its_policy_allows_its_own_script_and_no_other(page: str) -> None:
    found = Page(page)
    policy = next(
        a["content"] for tag, a in found.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None and "default-src 'none'" in policy and "unsafe-eval" not in policy
    digest = base64.b64encode(hashlib.sha256(found.scripts[-1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert len(found.scripts) == 2


def test_it_holds_the_rows_as_they_are(release: Path, page: str, manifest: dict[str, Any]) -> None:
    shown = json.loads(Page(page).scripts[0])
    passed = [one for one in shown if one["verdict"] == "passed"]
    rejected = [one for one in shown if one["verdict"] == "rejected"]
    rows = {
        row["id"]: row
        for row in sample(release, "sft", list(manifest["splits"]), by=("branch",), limit=10_000, depth=99)
    }
    for one in passed:
        row = rows[one["id"]]
        assert one["messages"] == [[m["role"], m["content"]] for m in row["messages"]]
        assert one["checks"] == json.loads(row["verdict"])["checks"] and all(check["passed"] for check in one["checks"])
    assert {one["family"] for one in passed} == set(manifest["families"])
    assert rejected
    for one in rejected:
        assert one["messages"][: one["fork"]] + one["chosen"] == [
            [m["role"], m["content"]] for m in rows[one["id"]]["messages"]
        ]
        assert one["messages"] != one["messages"][: one["fork"]] + one["chosen"]
        assert one["check"] and one["mutant"] and one["about"] != one["mutant"]


def test_every_number_of_the_manifest_is_in_it(page: str, manifest: dict[str, Any]) -> None:
    text = " ".join(Page(page).text.split())
    for name, family in manifest["families"].items():
        assert name in text
        for branch, row in family["branches"].items():
            assert branch in text and f"{row['kept']:,}" in text
    for row in manifest["lengths"].values():
        assert all(f"{value:,}" in text for value in row["characters"].values())
    assert f"{manifest['kept']:,} episodes" in text


def test_figures_take_their_colours_from_the_page_and_say_what_they_show(drawn: list[Figure]) -> None:
    for figure in drawn:
        assert figure.svg.startswith("<svg ") and figure.svg.endswith("</svg>")
        assert "var(--" in figure.svg and not re.search(r"#0[1-9]0[1-9]0[1-9]", figure.svg)
        assert f'aria-label="{figure.alt}"' in figure.svg
        assert "<metadata" not in figure.svg and "<style" not in figure.svg and "clip-path" not in figure.svg


def test_the_same_numbers_give_the_same_figures_whatever_the_user_set(
    drawn: list[Figure], manifest: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "ytick.labelsize", 31.0)
    monkeypatch.setitem(matplotlib.rcParams, "axes.facecolor", "red")
    assert figures(manifest) == drawn
    assert matplotlib.rcParams["ytick.labelsize"] == 31.0
    other = copies.deepcopy(manifest)
    branch = next(iter(next(iter(other["families"].values()))["branches"].values()))
    branch["kept"] -= 1
    branch["native"] -= 1
    assert figures(other) != drawn


def test_no_name_gets_out_of_its_place(release: Path, manifest: dict[str, Any]) -> None:
    bad = copies.deepcopy(manifest)
    first = next(iter(bad["families"]))
    for names in (bad["families"], bad["lengths"], bad["floors"]["families"]):
        names[EVIL] = names.pop(first)
    bad["families"][EVIL]["branches"][EVIL] = {"quota": 1, "kept": 1, "native": 1, "overlaid": 0}
    bad |= {"notes": [EVIL], "unsupported": {EVIL: EVIL}, "dropped": {EVIL: 3}, "graph": EVIL}
    bad["sources"] = [{"name": EVIL, "licence": EVIL}]
    rows, pairs = samples(release, manifest)
    for row in rows + pairs:
        row |= {"family": EVIL, "branch": EVIL, "id": EVIL}
    for row in rows:
        row["messages"][-1]["content"] += EVIL
    for row in pairs:
        row |= {"mutant": EVIL, "check": EVIL}
        row["rejected"][-1]["content"] += EVIL
    found = Page(report(bad, rows, pairs, figures(bad)))
    assert len(found.scripts) == 2
    assert not [a for tag, a in found.tags if tag == "img" or "onerror" in a]
    shown = json.loads(found.scripts[0])
    assert all(one["family"] == EVIL for one in shown) and shown[0]["messages"][-1][1].endswith(EVIL)
    clean = Page(report(manifest, *samples(release, manifest), figures(manifest)))
    allowed = {
        "li",
        "b",
        "ul",
        "p",
        "tr",
        "td",
        "th",
        "svg",
        "figure",
        "figcaption",
        "h3",
        "span",
        "g",
        "path",
        "text",
        "defs",
        "use",
    }
    assert {tag for tag, _ in found.tags} - {tag for tag, _ in clean.tags} <= allowed
    assert EVIL in found.text


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_embedded_json_ends_no_element_and_reads_back(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    text = embedded(value)
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == value


def test_it_stays_small_at_any_size(release: Path, page: str) -> None:
    from fhirtasks.release import documents

    most = documents.EPISODES_TEXT + documents.PAIRS_TEXT
    assert most * 1.3 + 400_000 < 3 << 20
    assert len(page.encode()) < 3 << 20
    rows = sample(
        release, "sft", ["train"], by=("branch",), limit=documents.EPISODES, depth=99, budget=documents.EPISODES_TEXT
    )
    assert len(embedded(episodes(rows, [])).encode()) < 1.3 * documents.EPISODES_TEXT


def test_without_its_figures_a_page_is_compared_by_the_rest(page: str) -> None:
    bare = without_figures(page)
    assert "<svg " not in bare and page.count("<svg ") >= 5
    assert without_figures(page.replace("fill: var(--native)", "fill: red")) == bare
    assert without_figures(page.replace("Coverage", "Covered")) != bare
