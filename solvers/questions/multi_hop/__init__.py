"""Experts: Multi-hop: three types of resources or more, or a look-up that depends on another (H01 to H11)."""

from __future__ import annotations

from solvers.questions.analyst import Expert
from solvers.questions.multi_hop import links, results, stays

EXPERTS: dict[str, Expert] = {**links.EXPERTS, **results.EXPERTS, **stays.EXPERTS}
