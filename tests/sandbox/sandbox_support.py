"""What the sandbox's tests share."""

from __future__ import annotations

from fhirtasks.sandbox.execution import Limits

NOW = "2141-03-05T08:30:00-05:00"
QUICK = Limits(seconds=0.5, memory=64 << 20)
