"""Whose codes a patient is asked about: their own, and those of a few others, which they mostly lack."""

from __future__ import annotations

from typing import Final

WHOSE: Final = """(SELECT patient, unnest(owners) AS owner FROM (SELECT id AS patient,
        [id, lead(id, 1) OVER w, lead(id, 2) OVER w, lead(id, 3) OVER w] AS owners
        FROM patient WINDOW w AS (ORDER BY md5(id), id)))"""
"""SQL: each ``patient`` with itself and the three that come next in a fixed, mixed order, as ``owner``.

Few others for each, however many there are: what can be asked then grows as the patients do, and not as their pairs.
"""
