"""Mistakes of form: an action that is right, in a message that is no action. Each function gives raw texts that end with it."""

from __future__ import annotations

from fhirtasks.fhir.jsontext import dumps
from graders.damage import Played, Raws


def thinking(played: Played) -> Raws | None:
    """Reasoning left before the first action, between the marks that a reasoning model puts around it."""
    thought = "I have to find out which record this is about before I can say anything."
    return (f"<think>\n{thought}\n</think>\n\n{played.raws[0]}",)


def tool_call(played: Played) -> Raws | None:
    """The first action as the JSON of a tool call, of which this protocol knows nothing."""
    verb, _, rest = played.raws[0].partition(" ")
    if verb != "GET":
        return None
    return (dumps({"name": "get", "arguments": {"url": rest}}),)


def prose_before(played: Played) -> Raws | None:
    """The last action after a sentence that announces it."""
    return played.ending(f"I have everything that I need, so I can finish now.\n\n{played.raws[-1]}")


def prose_instead(played: Played) -> Raws | None:
    """What was found or done, told in a sentence; FINISH is forgotten."""
    if not played.answer:
        return played.ending("Everything that you asked for has been done.")
    return played.ending(f"The answer to your request is {played.answer[0]}.")


def fenced(played: Played) -> Raws | None:
    """The first action in a Markdown fence."""
    return (f"```\n{played.raws[0]}\n```",)


def two_actions(played: Played) -> Raws | None:
    """The first read and what should have waited for its reply, in one message."""
    if len(played.raws) < 2 or not played.raws[0].startswith("GET"):
        return None
    return ("\n\n".join(played.raws[:2]),)


def no_list(played: Played) -> Raws | None:
    """FINISH around the bare answer, or around nothing."""
    return played.ending(f"FINISH({dumps(played.answer[0]) if len(played.answer) == 1 else ''})")
