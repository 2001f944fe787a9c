"""A trained model goes to the Hub: one private repository, everything of the folder but what only a resumed run needs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from fhirtasks.errors import UserError

LEFT_OUT: Final = ("checkpoint-*/*", "start/*", "started.json", ".lock", "training_args.bin", "rollouts.jsonl")
"""Not uploaded: checkpoints, the merged start, settings of the machine, and rollouts, which show records."""


def push_model(folder: Path, name: str) -> str:
    """Uploads a model's folder to ``ORG/NAME`` in one commit; gives the commit's URL.

    A repository that is not there is made, private: what a model was trained on may come out of it. UserError for a name that
    can be none, no token, or what the Hub refuses. ``HF_ENDPOINT`` and ``HF_TOKEN`` hold.
    """
    import httpx
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    token = get_token()
    if not token:
        raise UserError("There is no token for the Hub; set HF_TOKEN to one that may write, or run hf auth login.")
    if name.count("/") != 1:
        raise UserError(f"--push is {name!r}; it takes ORG/NAME.")
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token)
    try:
        api.create_repo(name, repo_type="model", private=True, exist_ok=True)
        made = api.upload_folder(
            repo_id=name, folder_path=folder, repo_type="model", ignore_patterns=list(LEFT_OUT),
            commit_message="A model trained by fhirtasks",
        )  # fmt: skip
    except HFValidationError:
        raise UserError(f"--push is {name!r}; it takes ORG/NAME, of letters, digits, -, _ and .") from None
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"The model stays in {folder}: the Hub did not take it as {name} ({first}).") from None
    return str(made)
