from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox_support import NOW, QUICK, Box

from fhirtasks.errors import UserError
from fhirtasks.sandbox.embedded import EmbeddedSandbox, EmbeddedSession
from fhirtasks.sandbox.forkserver import CpythonSandbox


@pytest.fixture(scope="session")
def box() -> Iterator[EmbeddedSandbox]:
    with EmbeddedSandbox(workers=3) as opened:
        yield opened


@pytest.fixture
def session(box: EmbeddedSandbox) -> Iterator[EmbeddedSession]:
    opened = box.session(NOW, "seed", QUICK)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def cpython() -> Iterator[CpythonSandbox]:
    """Skipped, with the reason, where this platform cannot hold it."""
    opened = CpythonSandbox()
    try:
        opened.__enter__()
    except UserError as refused:
        pytest.skip(str(refused))
    yield opened
    opened.__exit__(None, None, None)


@pytest.fixture(params=["box", "cpython"])
def tier(request: pytest.FixtureRequest) -> Box:
    """Each of the two sandboxes."""
    found: Box = request.getfixturevalue(request.param)
    return found
