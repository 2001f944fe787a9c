"""The ``privileged`` config: what a teacher may see who knows how the episode ends, one text per turn of an expert.

The texts are templates of ours filled from the row alone: its verdict, its actions, the replies before the turn, the slots
and the branch of its task. So nothing is in them that the row's own prompt and replies do not hold. Every turn's text tells
the outcome (checks, right answer, types of what is created), the case, the terms of the request, what was read so far, and
the plan from this turn on. The resource that decides is named once a reply has shown it, an order's values at its own turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fhirtasks.episodes.text import WIRE, parse
from fhirtasks.episodes.types import Action, Finish, Get, Post
from fhirtasks.fhir.dates import parse_range
from fhirtasks.fhir.jsontext import Json, dumps, loads
from fhirtasks.release.features import COLUMNS, schema
from fhirtasks.release.rows import integers, strings, table, turns_table
from fhirtasks.service.service import BASE

EVERY: Final = 4
"""About one expert's row in so many has texts; none of them has a pair in ``preference``."""

LISTED: Final = 30
"""Resources that one text names at most."""

RESTS_ON_ONE: Final = frozenset(
    (
        *("latest_lab", "latest_lab_in_window", "magnesium_replacement", "potassium_replacement", "a1c_reorder"),
        "patient_lookup",
    )
)
"""Families whose answer is the value of one resource; in the others it rests on everything that the last search found."""

_TIMES = ("effectiveDateTime", "authoredOn", "occurrenceDateTime", "performedDateTime", "onsetDateTime", "recordedDate")
_BEFORE, _AFTER = WIRE["get_ok"].split("{body}")


def has_context(content_hash: str) -> bool:
    """Whether an expert's row of this content has privileged texts."""
    return int(content_hash[:8], 16) % EVERY == 1


def privileged_table(sft: Any) -> Any:
    """The ``privileged`` rows of these ``sft`` rows. ValueError, LookupError or TypeError if a row is damaged."""
    about = zip(sft.column("origin").to_pylist(), sft.column("content_hash").to_pylist(), strict=True)
    mine = [place for place, (origin, digest) in enumerate(about) if origin == "expert" and has_context(digest)]
    if not mine:
        return schema("privileged").empty_table()
    rows = sft.take(integers(mine))
    turns = turns_table(rows)
    texts = [
        text
        for row in rows.select(["messages", "family", "branch", "kind", "mode", "task", "verdict"]).to_pylist()
        for text in contexts(row)
    ]
    made = {"privileged_context": strings(texts)}
    return table(
        "privileged", {name: made[name] if name in made else turns.column(name) for name in COLUMNS["privileged"]}
    )


def contexts(row: Mapping[str, Any]) -> list[str]:
    """One text for each assistant message of a passed ``sft`` row, given by its columns."""
    said = [(place, one["content"]) for place, one in enumerate(row["messages"]) if one["role"] == "assistant"]
    actions = [parse(raw, row["mode"]) for _, raw in said]
    replies = [one["content"] for one in row["messages"] if one["role"] == "user"][1:]
    shown = [_resources(reply) for reply in replies]
    always = [
        "This is for a teacher who knows how the episode ends.",
        _outcome(row, actions),
        f"Case: {row['branch'].replace('_', ' ')}.",
        f"Terms of the request: {_named(loads(row['task'])['slots'].items())}.",
    ]
    steps = [_step(action, replies[turn - 1] if turn else "") for turn, action in enumerate(actions)]
    texts = []
    for turn in range(len(actions)):
        reads = sum(isinstance(action, Get) for action in actions[turn:])
        lines = [
            *always,
            _read(actions[:turn], shown),
            _deciding(row, actions, [one for reply in shown[:turn] for one in reply], reads),
            f"Next: {steps[turn]}{_content(actions[turn])}.",
            *([f"Then: {'; '.join(steps[turn + 1 :])}."] if steps[turn + 1 :] else []),
        ]
        texts.append("\n".join(line for line in lines if line))
    return texts


def _outcome(row: Mapping[str, Any], actions: Sequence[Action]) -> str:
    checks = ", ".join(check["name"] for check in loads(row["verdict"])["checks"])
    types = [action.body["resourceType"] for action in actions if isinstance(action, Post)]
    created = " and ".join(f"one {type}" for type in types) or "nothing"
    why = {"conditional": ", as the value calls for", "action": ", as dictated"}.get(row["kind"], "")
    return (
        f"Outcome: the episode passes every check of its grader ({checks}). "
        f"It creates {created}{why}, and ends with {dumps(_answer(actions))}."
    )


def _answer(actions: Sequence[Action]) -> list[Json]:
    last = actions[-1]
    return list(last.answer) if isinstance(last, Finish) and isinstance(last.answer, list) else []


def _read(actions: Sequence[Action], shown: Sequence[Sequence[Json]]) -> str:
    """What each reply so far was about."""
    parts = []
    for turn, action in enumerate(actions):
        if isinstance(action, Get):
            types = [one["resourceType"] for one in shown[turn]]
            counts = ", ".join(f"{types.count(type)} {type}" for type in dict.fromkeys(types))
            parts.append(f"reply {turn + 1} shows {counts or 'no entry'}")
    return f"Read so far: {'; '.join(parts) or 'nothing'}."


def _deciding(row: Mapping[str, Any], actions: Sequence[Action], seen: Sequence[Json], reads: int) -> str:
    """What the episode rests on, as far as it was shown; ``reads`` are still to come."""
    if row["family"] in RESTS_ON_ONE:
        sought = [value for value in _answer(actions) if value != -1]
        holding = [one for one in seen if sought and all(value in _leaves(one) for value in sought)]
        found = [max(holding, key=_when)] if holding else []
    else:
        found = [] if reads else [one for one in seen if one["resourceType"] == seen[-1]["resourceType"]]
    if found:
        more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        return f"It rests on {'; '.join(map(_facts, found[:LISTED]))}{more}."
    return "What decides is still to be read." if reads else "No reply shows anything that counts."


def _step(action: Action, reply: str) -> str:
    """What an action does, in words; ``reply`` is what was shown before it."""
    if isinstance(action, Finish):
        return f"finish with {dumps(action.answer)}"
    if isinstance(action, Post):
        return f"create the {action.body['resourceType']}"
    if not isinstance(action, Get):
        return "send what is no action"
    path, _, query = action.url.removeprefix(BASE).partition("?")
    if not query:
        return f"read {path}"
    if action.url in reply:
        return f"read the next page of the {path} search"
    names = list(dict.fromkeys(part.partition("=")[0] for part in query.split("&")))
    order = ", newest first" if "_sort=-date" in query else ""
    return f"search {path} by {', '.join(name for name in names if name[:1] != '_' or name == '_id')}{order}"


def _content(action: Action) -> str:
    return f" with {_named(_facets(action.body))}" if isinstance(action, Post) else ""


def _resources(reply: str) -> list[Json]:
    """The resources that a reply to a GET shows, paging apart; none if it is something else."""
    if not (reply.startswith(_BEFORE) and reply.endswith(_AFTER)):
        return []
    body = loads(reply[len(_BEFORE) : len(reply) - len(_AFTER)])
    if body.get("resourceType") != "Bundle":
        return [body]
    return [entry["resource"] for entry in body.get("entry", ()) if "resource" in entry]


def _facts(resource: Json) -> str:
    """A resource by its id, and what is measured, when, or who it is."""
    facts = []
    if "valueQuantity" in resource:
        quantity = resource["valueQuantity"]
        facts.append(f"{quantity.get('value', '')} {quantity.get('unit', '')}".strip())
    facts += [str(resource[name]) for name in ("valueString", *_TIMES, "birthDate") if name in resource]
    return f"{resource['resourceType']}/{resource.get('id', '')} ({', '.join(facts)})"


def _when(resource: Json) -> int:
    """The latest µs of a resource's time; before all others without one."""
    spans = [parse_range(resource[name]) for name in _TIMES if isinstance(resource.get(name), str)]
    return max((span[1] for span in spans if span is not None), default=-(2**62))


def _leaves(value: Json) -> Iterator[Json]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    elif not isinstance(value, bool):
        yield value


def _facets(body: Json, name: str = "") -> Iterator[tuple[str, Json]]:
    """The scalars of a body with their element's name; what only says which system a code is of is left out."""
    if isinstance(body, dict):
        for key, item in body.items():
            if key not in ("resourceType", "system"):
                yield from _facets(item, key)
    elif isinstance(body, list):
        for item in body:
            yield from _facets(item, name)
    else:
        yield name, body


def _named(items: Any) -> str:
    return "; ".join(f"{name} {value}" for name, value in items)
