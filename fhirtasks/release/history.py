"""What the versions of a dataset say of themselves: VERSIONS.json, written at push beside the changelog."""

from __future__ import annotations

import msgspec

from fhirtasks.errors import UserError
from fhirtasks.release.manifest import AT_PUSH

CHANGELOG, VERSIONS = AT_PUSH


class Version(msgspec.Struct, frozen=True):
    """One version: its tag, the day of its push (UTC), its manifest's sha256, the tag before it, and, where its sources hold
    real patients, who said that it may be published and why."""

    tag: str
    date: str
    manifest: str
    previous: str | None = None
    acknowledgement: str | None = None


def read_versions(content: bytes, where: str) -> list[Version]:
    """The versions in a VERSIONS.json, oldest first. UserError, naming ``where`` it stands, if it cannot be read."""
    try:
        return msgspec.json.decode(content, type=list[Version])
    except msgspec.DecodeError as error:
        raise UserError(
            f"{VERSIONS} of {where} is damaged ({error}); restore it from the last tag, then try again."
        ) from None


def versions_bytes(versions: list[Version]) -> bytes:
    """The file's bytes: one value per line."""
    return msgspec.json.format(msgspec.json.encode(versions), indent=1) + b"\n"
