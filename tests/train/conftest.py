"""Models of the room's tests compute in one thread: there are more workers than cores, and sums have one order."""

from __future__ import annotations

import contextlib

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)
