"""What a run of model-written Python may use, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

End: TypeAlias = Literal["ok", "exception", "memory", "output", "time", "crashed"]
"""How a run ended. ``time`` and ``crashed`` depend on the machine: an episode with one of them is no data."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one run. ``seconds`` is the backstop; memory (bytes) and depth decide before it does.

    ``shown`` is how many characters of output the model sees; a run that prints more than ``printed`` is stopped.
    """

    seconds: float = 5.0
    memory: int = 256 << 20
    depth: int = 500
    shown: int = 4_000
    printed: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Execution:
    """One run. ``output`` is what it printed, cut to the limit with the cut stated; ``error`` is empty if it ended well.

    ``error`` is a traceback without paths or addresses, its last line the exception. ``printed`` counts all characters.
    """

    end: End
    output: str
    error: str
    printed: int

    @property
    def reproducible(self) -> bool:
        """False if the machine's speed or health had a part in it."""
        return self.end not in ("time", "crashed")


_LINES = 12
"""Lines of an error that are kept at its end."""


def shortened(error: str, limits: Limits) -> str:
    """An error with long tracebacks and long texts cut in the middle."""
    lines = error.split("\n")
    if len(lines) > _LINES + 4:
        error = "\n".join([*lines[:3], "  …", *lines[-_LINES:]])
    if len(error) > limits.shown:
        error = f"{error[: limits.shown // 2]}\n  …\n{error[-limits.shown // 2 :]}"
    return error


class Capture:
    """Collects printed text as it comes: the beginning and the end of it within ``limits.shown``, and its length."""

    def __init__(self, limits: Limits) -> None:
        self._head_size = limits.shown // 2
        self._tail_size = limits.shown - self._head_size
        self._limit = limits.printed
        self._head, self._tail = "", ""
        self.printed = self._lines = 0

    def write(self, text: str) -> None:
        """Takes the next piece. OverflowError once more was printed than is allowed."""
        self.printed += len(text)
        self._lines += text.count("\n")
        room = self._head_size - len(self._head)
        if room > 0:
            self._head, text = self._head + text[:room], text[room:]
        if text:
            # Appending to a long tail for every short piece would cost the square of the output.
            self._tail += text
            if len(self._tail) > 64 * self._tail_size:
                self._tail = self._tail[-self._tail_size :]
        if self.printed > self._limit:
            raise OverflowError

    @property
    def flooded(self) -> bool:
        """True if more was printed than is allowed."""
        return self.printed > self._limit

    def text(self) -> str:
        """What is shown. What was left out stands between square brackets on a line of its own.

        After a flood only the beginning is shown: where it was stopped is chance.
        """
        if self.flooded:
            return f"{self._head}\n[output stopped: more than {self._limit:,} characters were printed]"
        hidden = self.printed - len(self._head) - min(len(self._tail), self._tail_size)
        if hidden <= 0:
            return self._head + self._tail
        tail = self._tail[-self._tail_size :]
        return f"{self._head}\n[… {hidden:,} characters omitted of {self.printed:,} in {self._lines:,} lines …]\n{tail}"
