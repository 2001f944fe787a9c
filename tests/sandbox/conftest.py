from __future__ import annotations

from collections.abc import Iterator

import pytest

from fhirtasks.sandbox.embedded import EmbeddedSandbox, EmbeddedSession
from fhirtasks.sandbox.execution import Limits

NOW = "2141-03-05T08:30:00-05:00"
QUICK = Limits(seconds=0.5, memory=64 << 20)


@pytest.fixture(scope="session")
def box() -> Iterator[EmbeddedSandbox]:
    with EmbeddedSandbox(workers=3) as opened:
        yield opened


@pytest.fixture
def session(box: EmbeddedSandbox) -> Iterator[EmbeddedSession]:
    opened = box.session(NOW, "seed", QUICK)
    yield opened
    opened.close()
