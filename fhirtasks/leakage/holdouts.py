"""What must stay out of a release: the held-out items of benchmarks, and whom they concern."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import duckdb
import orjson

from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.benchmarks.holdouts import read_heldout, read_sealed
from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import content_hash
from fhirtasks.leakage.folding import name_words, same_name, squeezed
from fhirtasks.leakage.policy import Policy, read_policy
from fhirtasks.population.taskfile import Person

_BY_IDENTIFIER = r"""
    with value as (
        select id, id as text from resource where type = 'Patient'
        union
        select patient, patient from resource where patient is not null
        union
        select id, unnest(json_extract_string(raw, '$.identifier[*].value')) from resource where type = 'Patient'
    ), part as (
        select id, unnest(list_append(
            string_split_regex(lower(strip_accents(text)), '[^\p{L}\p{N}]+'),
            regexp_replace(lower(strip_accents(text)), '[^\p{L}\p{N}]+', '', 'g'))) as text
        from value where text is not null
    )
    select distinct id from part where text in (select unnest($1::varchar[]))
"""
_BY_BIRTH_DATE = """
    select id, birth_date, names from (
        select id, json_extract_string(raw, '$.birthDate') as birth_date, json_extract(raw, '$.name')::varchar as names
        from resource where type = 'Patient'
    ) where birth_date in (select unnest($1::varchar[])) and names is not null
"""


Named = dict[str, list[tuple[str, str]]]
"""A text -> (source, id) of the items that have it."""


@dataclass(frozen=True)
class Holdouts:
    """Held-out items, each once, by source and id, and the policy by which they are looked for.

    Members that several items share are given once, with all who have them.
    """

    items: tuple[HeldOut, ...] = ()
    policy: Policy = field(default_factory=Policy.default)

    @staticmethod
    def of(items: Iterable[HeldOut], policy: Policy | None = None) -> Holdouts:
        """The holdouts that these items make, whatever their order."""
        return Holdouts(tuple(sorted(set(items), key=_content)), policy or Policy.default())

    @cached_property
    def identifiers(self) -> Named:
        """Identifiers as written."""
        return self._shared(lambda item: item.identifiers)

    @cached_property
    def phones(self) -> Named:
        """Telephone numbers as written."""
        return self._shared(lambda item: item.phones)

    @cached_property
    def addresses(self) -> Named:
        """Postal addresses as written."""
        return self._shared(lambda item: item.addresses)

    @cached_property
    def people(self) -> dict[Person, list[tuple[str, str]]]:
        """Names with birth dates."""
        found: dict[Person, list[tuple[str, str]]] = {}
        for item in self.items:
            for person in item.people:
                found.setdefault(person, []).append((item.source, item.id))
        return found

    @cached_property
    def digest(self) -> str:
        """sha256 of what is held out: the same for the same rows in other files or another order."""
        return content_hash(sorted({_content(item)[0] for item in self.items}))

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many different ones there are, by kind; ``items`` are the rows they come from."""
        return {
            "items": len(self.items),
            "identifiers": len(self.identifiers),
            "people": len(self.people),
            "phones": len(self.phones),
            "addresses": len(self.addresses),
            "texts": len({text for item in self.items for text in item.texts}),
            "parameters": sum(bool(item.parameters) for item in self.items),
            "resources": len({text for item in self.items for text in item.resources}),
        }

    @property
    def sources(self) -> dict[str, int]:
        """Source -> its items."""
        return dict(sorted(Counter(item.source for item in self.items).items()))

    def excluded_patients(self, db: duckdb.DuckDBPyConnection) -> set[str]:
        """Ids of the patients in ``db`` (a table ``resource``) who are held out.

        A patient is, if the id or an identifier's value is a held-out identifier (case and punctuation ignored; also as
        a part of the value), or if a name and the birth date are a held-out person's (case, accents, order and
        initials ignored; a birth date known only to the month or year counts if it agrees that far), or if the filter
        would drop the Patient resource.
        """
        from fhirtasks.leakage.matcher import Matcher  # it is made of holdouts

        matcher = Matcher(self)
        found_in = db.execute("select id, raw from resource where type = 'Patient'").fetchall()
        excluded = {str(patient) for patient, raw in found_in if matcher.leak(raw) is not None}
        if self.identifiers:
            wanted = [squeezed(identifier) for identifier in self.identifiers]
            excluded |= {str(row[0]) for row in db.execute(_BY_IDENTIFIER, [wanted]).fetchall()}
        if self.people:
            born: dict[str, list[tuple[str, ...]]] = {}
            for person in self.people:
                day = person.birth_date.isoformat()
                for prefix in (day, day[:7], day[:4]):
                    born.setdefault(prefix, []).append(name_words(person.name))
            for patient, birth_date, names in db.execute(_BY_BIRTH_DATE, [sorted(born)]).fetchall():
                found = _names(names)
                if any(same_name(name, held) for name in found for held in born[birth_date]):
                    excluded.add(str(patient))
        return excluded

    def _shared(self, members: Callable[[HeldOut], tuple[str, ...]]) -> Named:
        found: Named = {}
        for item in self.items:
            for text in members(item):
                found.setdefault(text, []).append((item.source, item.id))
        return found


def read_holdouts(sources: Sequence[str | Path], policy: Path | None = None) -> Holdouts:
    """What files, folders and Hub data sets hold out, with a policy file's rules. UserError names source, row and reason."""
    rules = read_policy(policy)
    items: list[HeldOut] = []
    for source in sources:
        if read_sealed(source) is not None:
            raise UserError(
                f"{source} is sealed and only fhirtasks audit can search for it; give the benchmark's own file."
            )
        items += read_heldout(source)
    return Holdouts.of(items, rules)


def _content(item: HeldOut) -> tuple[str, str, str]:
    """An item's content as text, then where it comes from: the order of holdouts."""
    who = [[person.name, person.birth_date.isoformat()] for person in item.people]
    members = [
        item.texts, item.identifiers, who, item.phones, item.addresses, item.parameters, item.answer, item.resources,
    ]  # fmt: skip
    return orjson.dumps(members).decode(), item.source, item.id


def _names(raw: str) -> list[tuple[str, ...]]:
    """The names of a Patient.name array as folded words."""
    found = []
    for name in orjson.loads(raw):
        if not isinstance(name, dict):
            continue
        given = name.get("given") or []
        parts = [*(given if isinstance(given, list) else []), name.get("family")]
        text = " ".join(part for part in parts if isinstance(part, str))
        found += [name_words(whole) for whole in (text.replace(",", " "), name.get("text")) if isinstance(whole, str)]
    return [words_ for words_ in found if words_]
