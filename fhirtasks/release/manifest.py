"""``manifest.json``: what a release is made of and what its files must be; no time, host, path or worker count."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fhirtasks.errors import UserError
from fhirtasks.release.features import FORMAT
from fhirtasks.release.writer import Shard, sha256_of

NAME = "manifest.json"
HOLDOUTS = "holdouts.json"
"""What the build kept out, sealed; there only if something was."""
AT_PUSH = ("CHANGELOG.md", "VERSIONS.json")
"""What a push writes beside the release: the manifest, which is older, does not list it."""


def manifest_bytes(manifest: dict[str, Any]) -> bytes:
    """The file's bytes: sorted keys, one value per line, so that two releases can be compared by eye."""
    return (json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def files_of(shards: Iterable[Shard]) -> dict[str, Any]:
    """The manifest's ``files``: path -> rows, bytes, sha256."""
    return {shard.path: {"rows": shard.rows, "bytes": shard.bytes, "sha256": shard.sha256} for shard in shards}


def read_manifest(folder: Path, any_format: bool = False) -> dict[str, Any]:
    """The manifest of a release folder, of this version's format unless ``any_format``. UserError where there is none."""
    path = folder / NAME
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give the folder of a release.")
    if not path.is_file():
        raise UserError(f"{folder} has no {NAME}; give the folder of a release, whole.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if any_format and isinstance(manifest, dict):
            manifest = {name: kind() for name, kind in _LATER.items()} | manifest
        right = isinstance(manifest, dict) and _whole(manifest)
        version = manifest["format"] if right else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}); take a whole copy of the release.") from None
    if not right:
        raise UserError(f"{path} is no release's manifest; give the folder of a release.")
    if version != FORMAT and not any_format:
        raise UserError(
            f"{path} has the format {version!r}, this version reads {FORMAT}; use the fhirtasks that made it."
        )
    found: dict[str, Any] = manifest
    return found


def _whole(manifest: dict[str, Any]) -> bool:
    """Whether everything is there that readers of a release look at."""
    return (
        all(isinstance(manifest.get(name), kind) for name, kind in _MEMBERS.items())
        and all(isinstance(file, dict) for file in manifest["files"].values())
        and all(
            isinstance(about, dict)
            and all(isinstance(about.get(name), kind) for name, kind in _SPLIT.items())
            and isinstance(manifest["row_sets"].get(split), dict)
            for split, about in manifest["splits"].items()
        )
        and all(
            isinstance(row, dict) and isinstance(row.get("native"), int) and isinstance(row.get("overlaid"), int)
            for family in manifest["families"].values()
            for row in family["branches"].values()
        )
        and all(isinstance(number, int) for number in manifest["models"].values())
        and all(
            isinstance(one, dict)
            and isinstance(one.get("graph"), str)
            and isinstance(one.get("manifest"), str)
            and isinstance(one.get("worlds"), dict)
            for one in manifest["lineage"]
        )
    )


_MEMBERS: dict[str, type] = {
    "files": dict, "splits": dict, "families": dict, "versions": dict, "options": dict, "row_sets": dict, "dropped": dict,
    "quotas": dict, "lineage": list, "rollouts": list, "models": dict, "unsupported": dict, "lengths": dict, "notes": list,
    "sources": list, "graph": str, "kept": int,
}  # fmt: skip
_LATER: dict[str, type] = {"quotas": dict, "lineage": list, "rollouts": list, "models": dict}
"""Members that format 1 has not."""
_SPLIT: dict[str, type] = {"patients": int, "resources": int, "rows": int, "world": str}


def file_failures(folder: Path, manifest: dict[str, Any], hashes: bool = True) -> list[dict[str, Any]]:
    """Files that are missing, extra or (with ``hashes``) changed. Hidden ones (.git, .cache) and what a push wrote do not
    count."""
    failures = []
    listed = manifest["files"]
    for path in sorted(listed):
        file = folder / path
        if not file.is_file():
            failures.append({"file": path, "problem": "is missing"})
        elif hashes and sha256_of(file) != listed[path].get("sha256"):
            failures.append({"file": path, "problem": "has not the sha256 that the manifest says"})
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        folder_of_listed = file.is_dir() and any(one.startswith(f"{name}/") for one in listed)
        if (file.is_dir() and not file.is_symlink()) or folder_of_listed:
            continue
        if not hidden and name not in listed and name not in (NAME, *AT_PUSH):
            failures.append({"file": name, "problem": "is not in the manifest"})
    return failures
