"""What was pushed opens with ``load_dataset``: by tag, by main, streaming; each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from hub_double import HubDouble
from hub_support import DATA

from fhirtasks.release.push import push

_LOAD = f"""
import json
from datasets import load_dataset

counts = {{}}
for revision in ("v1.0.0", "v1.1.0", "main"):
    for config in ("sft", "rl", "charts"):
        for streaming in (False, True):
            rows = load_dataset("{DATA}", config, split="train", revision=revision, streaming=streaming)
            counts[f"{{revision}} {{config}} {{streaming}}"] = [sum(1 for _ in rows), sorted(next(iter(rows)))]
counts["default"] = sorted(load_dataset("{DATA}", revision="v1.0.0"))
print(json.dumps(counts))
"""


def test_versions_are_loaded_by_tag_and_by_main(hub: HubDouble, versions: tuple[Path, Path], quick: None) -> None:
    push(versions[0], DATA, "v1.0.0")
    push(versions[1], DATA, "v1.1.0")
    done = subprocess.run([sys.executable, "-c", _LOAD], env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found.pop("default") == ["test", "train", "validation"]
    kept = [json.loads((folder / "manifest.json").read_text())["splits"]["train"] for folder in versions]
    for key, (rows, columns) in found.items():
        revision, config, streaming = key.split()
        about = kept[0] if revision == "v1.0.0" else kept[1]
        assert rows == about["resources" if config == "charts" else "rows"], key
        assert columns == found[f"{revision} {config} False"][1], streaming
    assert hub.count("GET .*/resolve/") > 0
