"""What the command prints: progress on stderr, results on stdout as a table or as one JSON value."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import typer

_PIPE = 128 + 13
"""Exit code where nobody reads on, as shells have it for SIGPIPE."""


def progress(message: str) -> None:
    """A live line on a terminal, plain lines elsewhere."""
    if sys.stderr.isatty():
        clear()
        sys.stderr.write(message[:200])
    else:
        sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def clear() -> None:
    """Removes the live line."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")


def show(value: Any, as_json: bool, text: Callable[[Any], str]) -> None:
    clear()
    try:
        typer.echo(json.dumps(value, ensure_ascii=False) if as_json else text(value))
    except BrokenPipeError:  # whoever reads has left; typer would exit with 1, which is a verdict
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(_PIPE) from None


def load_text(report: dict[str, Any]) -> str:
    lines = [f"{count:>9,}  {name}" for name, count in sorted(report["resources"].items())]
    lines.append(f"{sum(report['resources'].values()):>9,}  resources in the graph")
    lines.append(f"{report['conflicts']:,} conflicts, {report['unresolved_references']:,} unresolved references")
    lines += [f"note: {note}" for note in report.get("notes", [])]
    lines.append(f"fingerprint {report['fingerprint']}")
    return "\n".join(lines)


def families_text(rows: list[dict[str, Any]]) -> str:
    blocks = []
    for row in rows:
        head = (
            f"{row['name']}  ({row['domain']}, {row['kind']}; {', '.join(row['modes'])}; {', '.join(row['protocols'])})"
        )
        blocks.append(f"{head}\n  " + ", ".join(row["branches"]))
    return "\n".join(blocks)


def build_text(report: dict[str, Any]) -> str:
    lines = [f"{'family':<26}{'branch':<34}{'quota':>7}{'kept':>7}{'native':>8}{'overlaid':>10}"]
    for name, family in report["families"].items():
        for branch, row in family["branches"].items():
            counts = f"{row['quota']:>7}{row['kept']:>7}{row['native']:>8}{row['overlaid']:>10}"
            lines.append(f"{name:<26}{branch:<34}{counts}")
    lines += [f"unsupported: {name} ({why})" for name, why in report["unsupported"].items()]
    lines += [f"note: {note}" for note in report.get("notes", [])]
    lines += [_rollout_text(one) for one in report.get("rollouts", [])]
    lines += [f"missed quota: {miss}" for miss in report.get("missed", [])]
    dropped = ", ".join(f"{reason} {count}" for reason, count in sorted(report["dropped"].items())) or "none"
    lines.append(f"kept {report['kept']:,} trajectories; dropped: {dropped}")
    if report.get("missed"):
        lines.append("no release was written: give more records, a smaller --per-family, or other --families")
    return "\n".join(lines)


def _rollout_text(one: dict[str, Any]) -> str:
    dropped = ", ".join(f"{kind} {count:,}" for kind, count in one["dropped"].items()) or "none"
    return f"rollouts of {one['model']} ({one['file'][:12]}): kept {one['kept']:,} of {one['transcripts']:,}; dropped: {dropped}"


def verify_text(report: dict[str, Any]) -> str:
    lines = [f"{failure}" if isinstance(failure, str) else json.dumps(failure) for failure in report["failures"][:50]]
    if len(report["failures"]) > 50:
        lines.append(f"… and {len(report['failures']) - 50:,} more (--json lists all)")
    lines += [f"not checked: {what}" for what in report.get("unchecked", [])]
    lines.append(f"{report['verified']:,} of {report['rows']:,} rows verified")
    return "\n".join(lines)


def push_text(report: dict[str, Any]) -> str:
    lines = [f"{'ok' if check['passed'] else 'NO':<4}{check['name']}: {check['detail']}" for check in report["checks"]]
    lines += [f"note: {warning}" for warning in report["warnings"]]
    if report["dry_run"]:
        lines += [f"{size:>14,}  {name}" for name, size in report["upload"].items()]
        lines += [f"{'delete':>14}  {name}" for name in report["delete"]]
    made = " (a new repository)" if report["creates"] else ""
    after = f"after {report['previous']}" if report["previous"] else "the first version"
    sent, gone = ("to upload", "to delete") if report["dry_run"] else ("uploaded", "deleted")
    total = f"{len(report['upload']):,} files {sent}, {sum(report['upload'].values()):,} bytes"
    lines.append(f"{total}; {report['unchanged']:,} unchanged, {len(report['delete']):,} {gone}")
    where = f"{report['url']}, {'private' if report['private'] else 'public'}{made}, {after}"
    if report["dry_run"]:
        refused = "" if all(check["passed"] for check in report["checks"]) else "it would be refused; "
        lines.append(f"dry run, nothing was changed: {refused}{report['tag']} to {where}")
    else:
        lines.append(f"pushed {report['tag']} (commit {report['commit'][:12]}) to {where}")
    return "\n".join(lines)


def pull_text(report: dict[str, Any]) -> str:
    size = f"{report['files']:,} files, {report['bytes']:,} bytes, {report['kept']:,} trajectories"
    what = f"{report['repository']} {report['tag'] or 'main'} (commit {report['commit'][:12]})"
    return f"pulled {what} to {report['folder']}: {size}, every hash as its manifest says"


def grade_text(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        failed = "; ".join(
            f"{check['name']}: {check['detail']}" if check["detail"] else check["name"]
            for check in row["checks"]
            if not check["passed"]
        )
        thinks = ""
        if "judge" in row:
            thinks = {True: "  (judge: correct)", False: "  (judge: wrong)"}.get(
                row["judge"]["correct"], "  (judge: ?)"
            )
        lines.append(f"{'pass' if row['passed'] else 'FAIL'}  {row['id']}  {failed}".rstrip() + thinks)
    lines.append(f"{sum(row['passed'] for row in rows)} of {len(rows)} passed")
    if any("judge" in row for row in rows):
        agreed = sum(row["judge"]["correct"] is row["passed"] for row in rows)
        lines.append(f"the judge, who decides nothing, agrees on {agreed} of {len(rows)}")
    return "\n".join(lines)


def audit_text(report: dict[str, Any]) -> str:
    lines = [line for found in report["findings"][:50] for line in _finding_lines(found)]
    listed = min(50, len(report["findings"]))
    if report["leaks"] + report["doubts"] > listed:
        lines.append(f"… and {report['leaks'] + report['doubts'] - listed:,} more (--json lists up to 1,000)")
    lines += [f"note: {note}" for note in report["notes"]]
    lines += [
        f"not searched: {name} ({'hidden' if name.endswith('/') else 'no text'})" for name in report["unsearched"]
    ]
    if report["self_test"]:
        lines += _self_test_lines(report["self_test"])
    for shared in report["splits"]:
        what = (
            shared["what"]
            if shared["number"] == 1
            else "families"
            if shared["what"] == "family"
            else f"{shared['what']}s"
        )
        lines.append(f"{' and '.join(shared['splits'])} share {shared['number']:,} {what}, such as {shared['example']}")
    searched = ", ".join(f"{name or 'rows'} {count:,}" for name, count in report["rows"].items())
    lines.append(f"searched {sum(report['rows'].values()):,} rows ({searched}), {report['characters']:,} characters")
    lines.append(f"held out: {_counts(report['items']) or 'sealed'}")
    leaks = ", ".join(f"{name} {count:,}" for name, count in report["matchers"].items())
    doubts = f"; {report['doubts']:,} to look at" if report["doubts"] else ""
    if report["leaks"]:
        lines.append(f"{report['leaks']:,} leaks in {report['leaking']:,} rows ({leaks}){doubts}")
    else:
        lines.append(("clean" if report["clean"] else "no leak, but the splits are not disjoint") + doubts)
    return "\n".join(lines)


def _finding_lines(found: dict[str, Any]) -> list[str]:
    rows = "" if found["row"] is None else f" row {found['row']}"
    where = f"{found['config']}/{found['split']}".strip("/") or found["file"]
    place = "" if found["column"] == where else f" {found['column']}"
    start, end = found["span"]
    kind = found["matcher"] if found["decisive"] else f"{found['matcher']} (to look at)"
    lines = [f"{where}{rows}{place} [{start}:{end}]: {kind}: {found['item']}", f"    {found['excerpt']}"]
    return ["".join(letter if letter.isprintable() else "·" for letter in line) for line in lines]  # no escape codes


def _self_test_lines(test: dict[str, Any]) -> list[str]:
    """Recall by disguise, and loud words where the audit cannot be relied on."""
    lines = [f"{'planted in copies of the rows':<32}{'planted':>9}{'found':>9}{'recall':>9}"]
    for name, tally in (*test["disguises"].items(), ("all disguises", test)):
        mark = "" if tally["found"] == tally["planted"] else "  MISSED"
        lines.append(f"{name:<32}{tally['planted']:>9,}{tally['found']:>9,}{tally['recall']:>9.1%}{mark}")
    lines.append(f"clean texts taken for leaks: {test['false_alarms']:,} of {test['clean']:,}")
    if test["found"] < test["planted"]:
        lines.append(
            f"WARNING: the audit missed {test['planted'] - test['found']:,} of the leaks that it planted itself: a clean "
            "verdict is not to be relied on for those disguises (--json shows what was missed)"
        )
    if test["false_alarm_rate"] > 0.001:
        lines.append(
            f"WARNING: {test['false_alarm_rate']:.2%} of clean texts were taken for leaks: some findings will be none "
            "(--json shows which were)"
        )
    return lines


def seal_text(report: dict[str, Any]) -> str:
    who = "has it and the key" if report["keyed"] else "has it"
    return f"sealed into {report['file']} ({_counts(report['items'])}); whoever {who} can look for them, and nobody can read them"


def _counts(items: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in items.items() if count)
