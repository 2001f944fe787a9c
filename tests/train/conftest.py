"""Models of the room's tests compute in one thread: there are more workers than cores, and sums have one order."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Stands in for the Hub's client; what it was asked, in order. A repository with "refused" in its name is refused."""
    import huggingface_hub

    asked: list[tuple[str, dict[str, Any]]] = []

    class Hub:
        def __init__(self, **options: Any) -> None:
            asked.append(("open", options))

        def create_repo(self, name: str, **options: Any) -> None:
            if "refused" in name:
                raise OSError("503 Service Unavailable\nand more")
            asked.append(("create", {"name": name, **options}))

        def upload_folder(self, **options: Any) -> str:
            asked.append(("upload", options))
            return "https://hub.example/commit/1"

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_0")
    return asked
