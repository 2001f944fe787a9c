"""The report in a real browser: filter, step, read, at a desk and on a phone; nothing asked of a network, nothing injected.

Pictures of what it looked like are left in the folder that the run names.
"""

from __future__ import annotations

import copy as copies
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from release_browser import Browser, browser, installed

from fhirtasks.release.documents import in_order
from fhirtasks.release.figures import figures
from fhirtasks.release.manifest import read_manifest
from fhirtasks.release.report import report
from fhirtasks.release.sample import sample

pytestmark = [
    pytest.mark.proof,
    pytest.mark.skipif(
        not installed(), reason="no chromium and chromedriver here: apt-get install chromium chromium-driver"
    ),
]

EVIL = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">\'"&<svg onload=window.hacked=1>'


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def page(window: Browser, release: Path) -> Iterator[Browser]:
    """The release's report, freshly opened at a desk; afterwards nothing was asked for and nothing went wrong."""
    yield from opened(window, release / "report.html")


def opened(window: Browser, path: Path) -> Iterator[Browser]:
    window.open("about:blank")
    window.size(1250, 900)
    window.scheme("light")
    window.requests()
    window.log("browser")
    window.open(path.as_uri())
    yield window
    assert window.requests() == [path.as_uri()]
    assert window.log("browser") == []


@pytest.fixture(scope="module")
def shown(release: Path) -> list[dict[str, Any]]:
    text = (release / "report.html").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = json.loads(re.findall(r'id="data">(.*?)</script>', text, flags=re.DOTALL)[0])
    return found


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    yield folder
    print(f"\npictures of the report: {folder}")


def listed(page: Browser) -> list[str]:
    return [
        str(text) for text in page.js("return [...document.querySelectorAll('#list button')].map(e => e.innerText)")
    ]


def where(page: Browser) -> str:
    return str(page.js("return document.getElementById('where').innerText"))


def words(page: Browser, selector: str = "#episode") -> str:
    return str(page.js("return document.querySelector(arguments[0]).innerText", selector))


def test_filters_leave_what_they_say(page: Browser, shown: list[dict[str, Any]]) -> None:
    assert len(listed(page)) == len(shown)
    for name in ("verdict", "family", "split"):
        for value in sorted({one[name] for one in shown}):
            page.pick(f"#by-{name}", value)
            assert len(listed(page)) == sum(one[name] == value for one in shown), (name, value)
        page.pick(f"#by-{name}", "")
    page.pick("#by-family", "patient_lookup")
    branches = page.js("return [...document.querySelectorAll('#by-branch option')].map(e => e.value)")
    assert set(branches) == {"", *(one["branch"] for one in shown if one["family"] == "patient_lookup")}
    page.pick("#by-branch", "not_found")
    page.pick("#by-verdict", "passed")
    assert listed(page) and all("patient_lookup" in text and "not_found" in text for text in listed(page))
    page.pick("#by-text", "no such words anywhere")
    assert words(page, "#list") == "No episode fits these filters." and words(page) == "Nothing to show."
    page.pick("#by-text", "")
    page.pick("#by-branch", "")
    page.pick("#by-family", "")
    mrn = re.findall(r"identifier=(\w+)", json.dumps(shown[-1]["messages"]))
    page.pick("#by-text", mrn[0] if mrn else shown[-1]["id"])
    assert 1 <= len(listed(page)) < len(shown)


def test_keys_step_through_episodes(page: Browser, shown: list[dict[str, Any]], pictures: Path) -> None:
    page.pick("#by-verdict", "passed")
    page.pick("#by-family", "potassium_replacement")
    first = words(page, "#episode > p.mono")
    steps = int(where(page).rsplit(" ", 1)[1])
    assert where(page) == f"step 1 of {steps}" and steps >= 3
    assert len(page.js("return [...document.querySelectorAll('.step .body')].map(e => 1)")) == 1
    for number in range(2, steps + 1):
        page.keys("ArrowRight")
        assert where(page) == f"step {number} of {steps}"
        assert page.js("return document.querySelector('.step.current').dataset.step") == str(number - 1)
    page.keys("ArrowRight")
    assert where(page) == f"step {steps} of {steps}"
    page.keys("ArrowLeft", "k")
    assert where(page) == f"step {steps - 2} of {steps}"
    page.keys("e")
    assert len(page.js("return [...document.querySelectorAll('.step .body')].map(e => 1)")) == steps
    page.js("document.getElementById('episodes').scrollIntoView({behavior: 'instant'})")
    page.picture(pictures / "episode.png")
    page.keys("e", "n")
    assert words(page, "#episode > p.mono") != first and "#episode=" in page.js("return location.hash")
    page.keys("p")
    assert words(page, "#episode > p.mono") == first
    page.keys("/", "n", "o")
    assert page.js("return document.activeElement.id + document.getElementById('by-text').value") == "by-textno"
    page.keys("Escape")
    assert page.js("return document.activeElement.tagName") == "BODY"


def test_requests_replies_and_checks_are_shown_to_the_digit(page: Browser, shown: list[dict[str, Any]]) -> None:
    page.keys("e")
    for number in range(0, len(shown), 5):
        one = shown[number]
        page.js("document.querySelectorAll('#list button')[arguments[0]].click()", number)
        page.js("document.querySelectorAll('#episode details').forEach(d => { d.open = true })")
        for _ in range(12):
            page.js("document.querySelectorAll('#episode details:not([open])').forEach(d => { d.open = true })")
        text = "".join(words(page).split())
        for role, content in one["messages"][1:]:
            if role == "assistant":
                assert "".join(content.partition("\n")[0].split()) in text or "FINISH" in content
            for value in re.findall(r'"value":(-?[\d.]+)', content):
                assert f"value:{value}" in text, value
            for name in re.findall(r'"family":"([^"]+)"', content):
                assert "".join(name.split()) in text
        for check in one.get("checks", [{"name": one.get("check")}]):
            assert check["name"] in text


def test_a_rejected_episode_stands_beside_the_correct_one(
    page: Browser, shown: list[dict[str, Any]], pictures: Path
) -> None:
    page.pick("#by-verdict", "rejected")
    one = next(one for one in shown if one["verdict"] == "rejected")
    assert one["about"] in words(page, ".chip.rejected") and one["mutant"] in words(page, ".checks .failed")
    assert "parts from the correct episode" in words(page, ".fork")
    parting = sum(role == "assistant" for role, _ in one["messages"][: one["fork"]])
    assert where(page).startswith(f"step {parting + 1} of")
    wrong = words(page, ".step.current")
    page.js("document.getElementById('episodes').scrollIntoView({behavior: 'instant'})")
    page.picture(pictures / "rejected.png")
    page.keys("c")
    assert words(page, ".step.current") != wrong and "goes on like this" in words(page, ".fork")
    page.keys("c")
    assert words(page, ".step.current") == wrong


def test_a_link_opens_its_episode(window: Browser, release: Path, shown: list[dict[str, Any]]) -> None:
    one = shown[4]
    window.open("about:blank")
    window.open(f"{(release / 'report.html').as_uri()}#episode={one['id']}")
    assert one["id"] in words(window)


def test_it_can_be_used_on_a_phone_and_in_the_dark(page: Browser, pictures: Path) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = page.js(ground)
    page.picture(pictures / "light.png")
    page.scheme("dark")
    dark = page.js(ground)
    assert dark != light
    page.picture(pictures / "dark.png")
    page.click("#theme")
    assert page.js(ground) == light
    page.click("#theme")
    for width in (320, 390, 768):
        page.size(width, 844, phone=True)
        assert page.js("return document.documentElement.scrollWidth") <= width
        for section in ("overview", "coverage", "floors", "lengths", "filters", "audit", "episodes"):
            page.js("document.getElementById(arguments[0]).scrollIntoView({behavior: 'instant'})", section)
            page.picture(pictures / f"{width}-{section}.png")
    sizes = page.js("return [...document.querySelectorAll('svg text')].map(e => e.getBoundingClientRect().height)")
    assert min(sizes) >= 9
    page.js("document.documentElement.style.scrollBehavior = 'auto'")
    page.js("document.querySelectorAll('#list button')[1].click()")
    top = page.js("return document.getElementById('episode').getBoundingClientRect().top")
    assert -5 <= top <= 200
    page.click("#on")
    assert where(page).startswith("step 2 of")


def test_hostile_names_do_nothing(window: Browser, release: Path, tmp_path: Path) -> None:
    manifest = copies.deepcopy(in_order(read_manifest(release)))
    splits = list(manifest["splits"])
    rows = sample(release, "sft", splits, by=("branch",), limit=12)
    pairs = sample(release, "preference", splits, by=("mutant",), limit=4)
    name = next(iter(manifest["families"]))
    for table in (manifest["families"], manifest["lengths"], manifest["floors"]["families"]):
        table[EVIL] = table.pop(name)
    manifest |= {"notes": [EVIL], "dropped": {EVIL: 2}, "unsupported": {EVIL: EVIL}}
    for row in rows:
        row |= {"family": EVIL, "branch": EVIL}
        for message in row["messages"]:
            message["content"] = message["content"].replace('"family":"', '"family":' + json.dumps(EVIL)[:-1]) + EVIL
    for row in pairs:
        row |= {"mutant": EVIL, "check": EVIL}
    path = tmp_path / "report.html"
    path.write_text(report(manifest, rows, pairs, figures(manifest)), encoding="utf-8")
    for page in opened(window, path):
        page.keys("e")
        for number in range(len(listed(page))):
            page.js("document.querySelectorAll('#list button')[arguments[0]].click()", number)
            page.js("document.querySelectorAll('#episode details').forEach(d => { d.open = true })")
        assert page.js("return typeof window.hacked") == "undefined"
        assert page.js("return document.querySelectorAll('img, svg[onload], #episode script').length") == 0
        assert EVIL in words(page)
        assert page.js("return document.querySelectorAll('script').length") == 2
