"""What one task adds to its world or hides from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenario:
    """Resources that one task adds to its world or hides from it, where the records lack a branch.

    ``add`` holds resources as raw JSON text; one with the type and id of a resource of the world takes its place. Added
    resources are visible whatever their times say. ``hide`` holds ``Type/id`` references.
    """

    add: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()

    @property
    def native(self) -> bool:
        """True if the task runs on the records as they are."""
        return not self.add and not self.hide
