"""What other packages register: entry points, loaded so that a broken one is told by its name."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

from fhirtasks.errors import UserError


def load(point: EntryPoint) -> Any:
    """The object that an entry point names. UserError if its package is broken."""
    try:
        return point.load()
    except Exception as error:  # whatever another package's module does while it is imported
        raise UserError(
            f"the entry point {point.value!r} cannot be loaded ({type(error).__name__}: {error}); "
            "mend or uninstall the package that registers it"
        ) from error


def only(points: list[EntryPoint], what: str, family: str) -> Any:
    """Loads the one entry point of a family. UserError if several packages register one."""
    if len(points) > 1:
        names = ", ".join(sorted(point.value for point in points))
        raise UserError(f"several packages register a {what} for the family {family!r} ({names}); keep one of them")
    return load(points[0])
