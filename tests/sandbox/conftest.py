from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox_support import NOW, QUICK

from fhirtasks.sandbox.embedded import EmbeddedSandbox, EmbeddedSession


@pytest.fixture(scope="session")
def box() -> Iterator[EmbeddedSandbox]:
    with EmbeddedSandbox(workers=3) as opened:
        yield opened


@pytest.fixture
def session(box: EmbeddedSandbox) -> Iterator[EmbeddedSession]:
    opened = box.session(NOW, "seed", QUICK)
    yield opened
    opened.close()
