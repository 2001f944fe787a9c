"""Finds what is held out in the texts of a row, whatever they are: prose, JSON, JSON inside JSON, a URL.

The letters and digits of all texts of a row are run once through one automaton that knows a needle or more of every
held-out item; only a hit is looked at more closely. So the cost is one pass over the text, however much is held out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ahocorasick_rs import BytesAhoCorasick

from fhirtasks.leakage.charts import Charts
from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.leakage.identities import address, identifier, phone
from fhirtasks.leakage.neardup import NearDuplicates
from fhirtasks.leakage.ngrams import own_phrases, rarity_of, text_probe, texts_of
from fhirtasks.leakage.numerals import NEEDLES
from fhirtasks.leakage.parameters import Cases, case_probe, cases_of, row_values
from fhirtasks.leakage.people import person
from fhirtasks.leakage.policy import Policy
from fhirtasks.leakage.probes import MATCHERS, Found, Probe, label, labels
from fhirtasks.leakage.row import Row
from fhirtasks.leakage.views import spelt


@dataclass(frozen=True, slots=True)
class Match:
    """A held-out item in a row: which text of it, and where, [start, end) in that text as given; its first place only.

    ``item`` says what is held out and where it comes from, ``decisive`` whether the policy takes it for a leak.
    """

    matcher: str
    item: str
    text: int
    start: int
    end: int
    evidence: str
    decisive: bool


class Matcher:
    """Finds what is held out. Build once, use for many rows.

    ``policy`` is that of the holdouts unless another is given. ``templates`` are three-word phrases that the searched
    data repeats (:func:`~fhirtasks.leakage.ngrams.common_phrases`); they tell nothing, as those of our own wordings do.
    """

    def __init__(
        self, holdouts: Holdouts, policy: Policy | None = None, templates: frozenset[bytes] = frozenset()
    ) -> None:
        self.policy = policy or holdouts.policy
        templates = templates | own_phrases()
        cases = cases_of(holdouts.items, self.policy)
        texts = texts_of(holdouts.items, templates, self.policy)
        rarity = rarity_of(texts)
        found: list[Probe | None] = [
            *(identifier(labels(who), text, self.policy) for text, who in holdouts.identifiers.items()),
            *(person(labels(who), one, self.policy) for one, who in holdouts.people.items()),
            *(phone(labels(who), text, self.policy) for text, who in holdouts.phones.items()),
            *(address(labels(who), text, self.policy) for text, who in holdouts.addresses.items()),
            *(text_probe(text, rarity, self.policy) for text in texts),
            *(case_probe(case, self.policy) for case in cases),
        ]
        self._cases = Cases(cases)
        self._near = NearDuplicates(texts, templates, self.policy)
        self._charts = Charts(
            [(label(item.source, item.id), text) for item in holdouts.items for text in item.resources], self.policy
        )
        self._spelt, self._chart = Probe("", _nothing), Probe("", _nothing)
        self._spelt.needles = dict.fromkeys(NEEDLES, 0)
        self._chart.needles = dict.fromkeys(self._charts.needles, 0)
        by_needle: dict[bytes, list[tuple[Probe, int]]] = {}
        for probe in (*(one for one in found if one is not None), self._spelt, self._chart):
            for needle, note in probe.needles.items():
                by_needle.setdefault(needle, []).append((probe, note))
            probe.needles = {}
        self._probes = list(by_needle.values())
        self._automaton = BytesAhoCorasick(list(by_needle)) if holdouts.items else None

    def find(self, texts: str | Sequence[str], parameters: Iterable[str] = ()) -> list[Match]:
        """What is held out and stands in these texts, all of one row, by matcher and item; one text may come alone.

        A name in one text and its birth date in another are found, and what is split over two. ``parameters`` are the
        values that make the row's case, if the caller has them apart; those of a task in JSON are read from the texts.
        """
        if self._automaton is None:
            return []
        texts = (texts,) if isinstance(texts, str) else texts
        row = Row(texts)
        found: dict[tuple[str, str], Match] = {}
        self._scan(row, 0, found)
        for text, number, start, end, evidence in self._near.find(row):
            self._note(found, "near_duplicate", text.item, number, start, end, evidence)
        if self._cases:
            for case in self._cases.among(row_values(texts, parameters)):
                self._note(found, "parameters", case.item, 0, 0, 0, f"all of {', '.join(sorted(case.values))}")
        return sorted(found.values(), key=lambda match: (MATCHERS.index(match.matcher), match.item))

    def leak(self, texts: str | Sequence[str], parameters: Iterable[str] = ()) -> Match | None:
        """The first match that the policy takes for a leak; None for a clean row."""
        return next((match for match in self.find(texts, parameters) if match.decisive), None)

    def _scan(self, row: Row, begin: int, found: dict[tuple[str, str], Match]) -> None:
        """Looks at what the automaton finds from the offset ``begin`` on."""
        assert self._automaton is not None
        haystack = row.squeezed[begin:] if begin else row.squeezed
        hits = self._automaton.find_matches_as_indexes(haystack, overlapping=True)
        if not hits:
            return
        in_words, with_charts = [], []
        done: set[int] = set()
        for number, start, end in hits:
            for probe, note in self._probes[number]:
                if probe is self._spelt:
                    in_words.append(row.at(begin + start)[0])
                elif probe is self._chart:
                    with_charts.append(row.at(begin + start)[0])
                elif id(probe) not in done:
                    seen = probe.look(row, begin + start, begin + end, note)
                    if seen is not None:
                        done.add(id(probe))
                        place = row.span(seen.start, seen.end)
                        self._note(found, seen.matcher, probe.item, *place, seen.evidence)
        for view in dict.fromkeys(with_charts):
            text = row.texts[view.text]
            given = view.first
            for item, start, end, evidence in self._charts.find(text if given else view.content):
                self._note(found, "chart", item, view.text, *((start, end) if given else (0, len(text))), evidence)
        if in_words and not begin:
            views = [inner for view in dict.fromkeys(in_words) if (inner := spelt(view)) is not None]
            if views:
                self._scan(row, row.add(views), found)

    def _note(
        self, found: dict[tuple[str, str], Match], matcher: str, item: str, text: int, start: int, end: int, why: str
    ) -> None:
        key = (matcher, item)
        if key not in found:
            found[key] = Match(matcher, item, text, start, end, why, self.policy.decides(matcher))


def _nothing(row: Row, start: int, end: int, note: int) -> Found | None:
    return None
