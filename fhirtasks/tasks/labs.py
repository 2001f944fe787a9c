"""The labs domain: three families that ask for results, three that order by one."""

from __future__ import annotations

from collections.abc import Callable

from fhirtasks.graph.world import World
from fhirtasks.tasks import labs_orders as orders
from fhirtasks.tasks import labs_queries as queries
from fhirtasks.tasks.analytes import BY_KEY
from fhirtasks.tasks.labs_charts import Deck, Lab, deck
from fhirtasks.tasks.labs_wordings import instructions
from fhirtasks.tasks.types import Branch, Family


def _missing(labs: Callable[[Deck], list[Lab]], *keys: str) -> Callable[[World], str | None]:
    def missing(world: World) -> str | None:
        if labs(deck(world)):
            return None
        wanted = ", ".join(f"{BY_KEY[key].name} (codes {', '.join(BY_KEY[key].codes)})" for key in keys)
        return (
            f"numeric laboratory Observations of living patients, with exact times, of {wanted or 'any known analyte'}"
        )

    return missing


def _branches(**weights: int) -> tuple[Branch, ...]:
    return tuple(Branch(name, weight) for name, weight in weights.items())


FAMILIES: tuple[Family, ...] = (
    Family(
        name="latest_lab_in_window",
        wordings=instructions("latest_lab_in_window"),
        version="2",
        domain="labs",
        kind="query",
        branches=_branches(
            present=3, absent=2, outside=2, edge_exact=1, edge_inside=1, edge_outside=1, tie=1, unordered=2,
            many_pages=2, future=1,
        ),
        sample=queries.sample_latest_in_window,
        missing=_missing(queries.window_labs),
        description="The newest result of a laboratory test within a number of hours before now, or -1.",
    ),
    Family(
        name="mean_lab_in_window",
        wordings=instructions("mean_lab_in_window"),
        version="1",
        domain="labs",
        kind="query",
        branches=_branches(
            single=2, several=5, absent=2, outside=2, edge_exact=1, edge_inside=1, edge_outside=1, many_pages=2,
            future=1,
        ),
        sample=queries.sample_mean,
        missing=_missing(queries.mean_labs),
        description="The mean of a laboratory test's results within a number of hours before now, or -1.",
    ),
    Family(
        name="latest_lab",
        wordings=instructions("latest_lab"),
        version="2",
        domain="labs",
        kind="query",
        branches=_branches(present=3, absent=2, tie=1, unordered=4, many_pages=4, future=1),
        sample=queries.sample_latest,
        missing=_missing(queries.ever_labs),
        description="The newest result of a laboratory test, however old, or -1.",
    ),
    Family(
        name="magnesium_replacement",
        wordings=instructions("magnesium_replacement"),
        version="1",
        domain="labs",
        kind="conditional",
        branches=_branches(
            normal=2, above_low=1, at_low=1, below_low=1, mild=2, above_moderate=1, at_moderate=1, below_moderate=1,
            moderate=2, above_severe=1, at_severe=1, below_severe=1, severe=1, absent=2, outside=2, edge_exact=1,
            edge_outside=1, tie=1, future=1,
        ),
        sample=orders.sample_magnesium,
        missing=_missing(orders.magnesium_labs, "magnesium"),
        description="The newest magnesium within a number of hours; if low, intravenous replacement by severity.",
    ),
    Family(
        name="potassium_replacement",
        wordings=instructions("potassium_replacement"),
        version="2",
        domain="labs",
        kind="conditional",
        branches=_branches(
            normal=3, just_above=1, at_threshold=2, just_below=2, well_below=4, absent=2, tie=1, unordered=2,
            many_pages=2, future=1,
        ),
        sample=orders.sample_potassium,
        missing=_missing(orders.potassium_labs, "potassium"),
        description="The newest potassium; if low, oral replacement in proportion and a repeat level.",
    ),
    Family(
        name="a1c_reorder",
        wordings=instructions("a1c_reorder"),
        version="1",
        domain="labs",
        kind="conditional",
        branches=_branches(
            fresh=4, stale=4, edge_exact=1, edge_fresh=1, edge_stale=1, absent=3, tie=1, unordered=2, future=1,
        ),
        sample=orders.sample_a1c,
        missing=_missing(orders.a1c_labs, "a1c"),
        description="The newest hemoglobin A1c with its time; a new one is ordered if it is too old.",
    ),
)  # fmt: skip
"""The labs domain's families."""
