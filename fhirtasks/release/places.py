"""Where a release is: a folder, or a tag of a dataset on the Hub, pulled for as long as it is looked at."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fhirtasks.errors import UserError

_TAGGED = re.compile(r"([A-Za-z0-9._-]+/[A-Za-z0-9._-]+)@([A-Za-z0-9._-]+)")


@contextmanager
def release_at(place: str, progress: Callable[[str], None] | None = None) -> Iterator[Path]:
    """The folder of a release that is named by its path or as ``ORG/NAME@TAG``; what was pulled is removed at the end.

    UserError where there is no such folder, repository or tag.
    """
    if Path(place).exists():
        yield Path(place)
        return
    tagged = _TAGGED.fullmatch(place)
    if tagged is None:
        raise UserError(f"{place} is no folder; give the folder of a release, or ORG/NAME@TAG for one on the Hub.")
    from fhirtasks.release.pull import pull

    with tempfile.TemporaryDirectory(prefix="fhirtasks-pulled-") as folder:
        out = Path(folder) / "release"
        pull(tagged[1], out, tag=tagged[2], progress=progress)
        yield out
