"""What the sandbox's tests share."""

from __future__ import annotations

from typing import TypeAlias

from fhirtasks.sandbox.embedded import EmbeddedSandbox
from fhirtasks.sandbox.execution import Execution, Limits
from fhirtasks.sandbox.forkserver import CpythonSandbox

NOW = "2141-03-05T08:30:00-05:00"
QUICK = Limits(seconds=3.0, memory=64 << 20)
"""Time enough, on a busy machine too, for what memory or output decides."""
SHORT = Limits(seconds=0.25, memory=64 << 20)
"""For what only time stops."""

Box: TypeAlias = EmbeddedSandbox | CpythonSandbox


def run(box: Box, code: str, limits: Limits = QUICK, names: dict[str, str] | None = None) -> Execution:
    """One run in a session of its own."""
    session = box.session(NOW, "seed", limits)
    try:
        return session.run(code, names)
    finally:
        session.close()
