"""Faulty steps of the ``code`` protocol: calls whose reply says that something was wrong with them.

Errors are data there, and a good episode may hold some, with their repair. What is trained on should not be the fault: who
makes one row per assistant message leaves these messages out, and a verdict counts them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from fhirtasks.episodes.types import Message
from fhirtasks.fhir.jsontext import loads
from fhirtasks.fhir.r4types import RESOURCE_TYPES

MARKS: Final = ('"error":', '"hint":', "characters omitted of", "[output stopped:")
"""What the text of a reply to a faulty call holds at least one of."""

NO_PATIENT: Final = "this server has no Patient "
"""How the error begins that says so."""

_CUT = re.compile(r"^\[(?:… [\d,]+ characters omitted of|output stopped:) ", re.MULTILINE)


def faulty(reply: str) -> bool:
    """Whether the reply tells of an error, of nothing printed (a hint), or of output that had to be cut.

    That a type of R4 has no resource, or that there is no such patient, is a finding and no fault.
    """
    if not any(mark in reply for mark in MARKS):
        return False
    try:
        told = loads(reply)
    except ValueError:
        return False
    if not isinstance(told, dict):
        return False
    output, failure = told.get("output"), told.get("error")
    if failure is not None:
        return not str(failure).startswith(NO_PATIENT)
    if "hint" in told:
        return told.get("fetched") != 0 or told.get("type") not in RESOURCE_TYPES
    return isinstance(output, str) and _CUT.search(output) is not None


def faulty_turns(messages: Sequence[Message]) -> tuple[int, ...]:
    """Which assistant messages, counted from 0, made a call whose reply is :func:`faulty`."""
    found: dict[int, None] = {}
    turn = -1
    for message in messages:
        if message.role == "assistant":
            turn += 1
        elif message.role == "tool" and faulty(message.content):
            found[turn] = None
    return tuple(found)
