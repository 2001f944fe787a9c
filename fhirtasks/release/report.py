"""``report.html``: one file that draws a release and lets people step through its episodes, without network.

The page is filled from templates in ``cards/``. Whatever comes from records, manifests or other people's families is
escaped: in the page as HTML text, in the embedded episodes as JSON without ``<``, and the script sets it as text only. A
content security policy allows the page's own script, by its hash, and no request to anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, Final

import fhirtasks
from fhirtasks.fhir.jsontext import content_hash
from fhirtasks.release import report_parts as parts
from fhirtasks.release.figures import Figure
from fhirtasks.release.spoken import spoken

NAME: Final = "report.html"
_CARDS = Path(fhirtasks.__file__).parents[1] / "cards"
_SVG = re.compile(r"<svg .*?</svg>", re.DOTALL)
_UNSAFE = {ord(one): f"\\u{ord(one):04x}" for one in "<>&\u2028\u2029"}


def report(
    manifest: dict[str, Any],
    rows: Sequence[Mapping[str, Any]],
    pairs: Sequence[Mapping[str, Any]],
    drawn: Sequence[Figure],
) -> str:
    """The page. ``rows`` are a sample of ``sft``, ``pairs`` one of ``preference``, ``drawn`` the release's figures."""
    style, script = ((_CARDS / f"report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    svgs = {figure.name: figure.svg for figure in drawn}
    identity = content_hash(manifest["row_sets"])
    return Template((_CARDS / "report.html").read_text(encoding="utf-8")).substitute(
        script_hash=f"sha256-{digest}",
        style=style,
        script=script,
        title=f"fhirtasks release {identity[:12]}",
        identity=identity[:12],
        lead=parts.lead(manifest),
        tiles=parts.tiles(manifest),
        coverage=parts.coverage(manifest, svgs),
        unsupported=parts.unsupported(manifest),
        floors_about=parts.floors_about(manifest),
        floors=parts.floors(manifest),
        lengths=parts.lengths(manifest, svgs),
        lengths_table=parts.lengths_table(manifest),
        splits=svgs["splits"],
        splits_table=parts.splits_table(manifest),
        drops=svgs.get("drops") or '<p class="nothing">Nothing was dropped.</p>',
        notes=parts.notes(manifest),
        audit=parts.audit(manifest),
        episodes_about=parts.episodes_about(manifest, len(rows), len(pairs)),
        footer=parts.footer(manifest),
        data=embedded(episodes(rows, pairs)),
    )


def episodes(rows: Sequence[Mapping[str, Any]], pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the page's browser shows: episodes that passed, then those that were rejected beside their correct ones."""
    return [_passed(row) for row in rows] + [_rejected(row) for row in pairs]


def embedded(value: object) -> str:
    """JSON that can stand in a script element: nothing in it ends the element or opens a comment."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_UNSAFE)


def without_figures(page: str) -> str:
    """The page without its drawings, which another version of matplotlib draws with other bytes."""
    return _SVG.sub("", page)


def _about(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("id", "family", "branch", "split")} | {"hash": row["content_hash"]}


def _passed(row: Mapping[str, Any]) -> dict[str, Any]:
    verdict = json.loads(row["verdict"])
    checks = [{name: check[name] for name in ("name", "passed", "detail")} for check in verdict["checks"]]
    about = {"origin": row["origin"], "verdict": "passed" if verdict["passed"] else "rejected", "checks": checks}
    return _about(row) | about | {"messages": _messages(row["messages"])}


def _rejected(row: Mapping[str, Any]) -> dict[str, Any]:
    prompt, chosen, rejected = (_messages(row[name]) for name in ("prompt", "chosen", "rejected"))
    origin = "model" if row["mutant"] == "model" else "mutant"
    about = {"origin": origin, "verdict": "rejected", "mutant": row["mutant"], "check": row["check"]}
    about["about"] = parts.mutant(row["mutant"])
    return _about(row) | about | {"messages": prompt + rejected, "fork": len(prompt), "chosen": chosen}


def _messages(messages: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [[message["role"], spoken(message)] for message in messages]
