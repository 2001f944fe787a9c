"""The ``privileged`` config: what a teacher may see who knows how the episode ends, one text per turn of an expert.

The texts are templates of ours filled from the row alone: its verdict, its actions, the replies before the turn, the slots
and the branch of its task. So nothing is in them that the row's own prompt and replies do not hold. Every turn's text tells
the outcome (checks, right answer, types of what is created), the case, the terms of the request, what was read so far, and
the plan from this turn on. The resource that decides is named once a reply has shown it, an order's values at its own turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from fhirtasks.episodes.text import WIRE, parse
from fhirtasks.episodes.types import Action, Episode, Finish, Get, Mode, Post
from fhirtasks.fhir.dates import parse_range
from fhirtasks.fhir.jsontext import Json, dumps, loads
from fhirtasks.release.features import COLUMNS, schema
from fhirtasks.release.rows import hash_of, integers, message_list, strings, table, turns_table
from fhirtasks.service.service import BASE
from fhirtasks.tasks.types import Task

EVERY: Final = 6
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

READS_NOTHING: Final = "Nothing is to be read."

_ABOUT = ("family", "branch", "kind", "mode")
_TIMES = ("effectiveDateTime", "authoredOn", "occurrenceDateTime", "performedDateTime", "onsetDateTime", "recordedDate")
_BEFORE, _AFTER = WIRE["get_ok"].split("{body}")


def has_context(content_hash: str) -> bool:
    """Whether an expert's row of this content, in the ``text`` protocol, has privileged texts."""
    return int(content_hash[:8], 16) % EVERY == 1


def privileged_table(sft: Any) -> Any:
    """The ``privileged`` rows of these ``sft`` rows. ValueError, LookupError or TypeError if a row is damaged."""
    about = zip(*(sft.column(name).to_pylist() for name in ("origin", "protocol", "content_hash")), strict=True)
    mine = [
        place
        for place, (origin, protocol, content) in enumerate(about)
        if (origin, protocol) == ("expert", "text") and has_context(content)
    ]
    if not mine:
        return schema("privileged").empty_table()
    rows = sft.take(integers(mine))
    turns = turns_table(rows)
    texts = [
        text
        for row in rows.select(["messages", *_ABOUT, "task", "verdict"]).to_pylist()
        for text in contexts(
            row["messages"],
            {name: row[name] for name in _ABOUT},
            loads(row["task"])["slots"],
            [check["name"] for check in loads(row["verdict"])["checks"]],
        )
    ]
    made = {"privileged_context": strings(texts)}
    return table(
        "privileged", {name: made[name] if name in made else turns.column(name) for name in COLUMNS["privileged"]}
    )


def teacher_texts(task: Task, episode: Episode) -> list[str]:
    """The texts that an expert's row of this task and episode would have, but for the checks' names; none if it has none."""
    if task.protocol != "text" or not has_context(hash_of(task.protocol, episode.messages)):
        return []
    about = {name: getattr(task, name) for name in _ABOUT}
    return contexts(message_list(episode.messages), about, task.slots, ())


def contexts(
    messages: Sequence[Mapping[str, str]], about: Mapping[str, str], slots: Mapping[str, str], checks: Sequence[str]
) -> list[str]:
    """One text for each assistant message of an episode that passed these checks; ``about`` has the columns' names."""
    actions = [parse(one["content"], _mode(about)) for one in messages if one["role"] == "assistant"]
    replies = [one["content"] for one in messages if one["role"] == "user"][1:]
    shown = [_resources(reply) for reply in replies]
    reading = any(isinstance(action, Get) for action in actions)
    sought = _sought(about["family"], actions)
    always = [
        "This is for a teacher who knows how the episode ends.",
        _outcome(about["kind"], checks, actions),
        f"Case: {about['branch'].replace('_', ' ')}.",
        f"Terms of the request: {_named(slots.items())}.",
    ]
    steps = [_step(action, replies[turn - 1] if turn else "") for turn, action in enumerate(actions)]
    texts: list[str] = []
    seen: list[Json] = []
    holding: list[Json] = []
    for turn, action in enumerate(actions):
        fresh = shown[turn - 1] if turn else []
        seen += fresh
        holding += [one for one in fresh if sought and set(sought) <= set(_held(one))]
        reads = sum(isinstance(one, Get) for one in actions[turn:])
        lines = [
            *always,
            _read(actions[:turn], shown),
            _deciding(holding if sought is not None else None, seen, reads) if reading else READS_NOTHING,
            f"Next: {steps[turn]}{_content(action)}.",
            *([f"Then: {'; '.join(steps[turn + 1 :])}."] if steps[turn + 1 :] else []),
        ]
        texts.append("\n".join(lines))
    return texts


def _outcome(kind: str, checks: Sequence[str], actions: Sequence[Action]) -> str:
    types = [_type(action.body) for action in actions if isinstance(action, Post)]
    created = " and ".join(f"one {type}" for type in types) or "nothing"
    why = {"conditional": ", as the value calls for", "action": ", as dictated"}.get(kind, "")
    return (
        f"Outcome: the episode passes every check of its grader ({', '.join(checks)}). "
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


def _sought(family: str, actions: Sequence[Action]) -> list[Json] | None:
    """The values that the deciding resource holds; none if no resource decides alone; empty if there is none to find."""
    return [value for value in _answer(actions) if value != -1] if family in RESTS_ON_ONE else None


def _deciding(holding: Sequence[Json] | None, seen: Sequence[Json], reads: int) -> str:
    """What the episode rests on, as far as it was shown: the newest of those ``holding`` what is sought, or, where no
    resource decides alone, all ``seen`` of the last search's type. ``reads`` are still to come.
    """
    if holding is not None:
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
        return f"create the {_type(action.body)}"
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


def _type(body: Json) -> str:
    return str(body.get("resourceType", "resource")) if isinstance(body, dict) else "resource"


def _mode(about: Mapping[str, str]) -> Mode:
    return "compat" if about["mode"] == "compat" else "clinical"


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


def _held(resource: Json) -> list[Json]:
    """What an answer may take from a resource: value and time of a result, identifiers of a patient."""
    found = [resource.get("valueQuantity", {}).get("value"), resource.get("effectiveDateTime")]
    return found + [identifier.get("value") for identifier in resource.get("identifier", ())]


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


def _named(items: Iterable[tuple[str, Json]]) -> str:
    return "; ".join(f"{name} {value}" for name, value in items)
