"""What must stay out of a release: the patients and instructions of held-out benchmarks, read from their task files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import orjson

from fhirtasks.fhir.jsontext import content_hash
from fhirtasks.leakage.folding import fold, name_words, normalised, same_name, words
from fhirtasks.population.taskfile import Person, identifiers, people, read_rows

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


@dataclass(frozen=True, slots=True)
class Holdouts:
    """Held-out identifiers as written, people, instructions in normal form; all sorted, without repetition."""

    identifiers: tuple[str, ...] = ()
    people: tuple[Person, ...] = ()
    instructions: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """sha256 of what is held out: the same for the same rows in other files or another order."""
        who = [[person.name, person.birth_date.isoformat()] for person in self.people]
        return content_hash([list(self.identifiers), who, list(self.instructions)])

    def excluded_patients(self, db: duckdb.DuckDBPyConnection) -> set[str]:
        """Ids of the patients in ``db`` (a table ``resource``) who are held out.

        A patient is, if the id or an identifier's value is a held-out identifier (case and punctuation ignored; also as
        a part of the value), or if a name and the birth date are a held-out person's (case, accents, order and
        initials ignored; a birth date known only to the month or year counts if it agrees that far).
        """
        excluded: set[str] = set()
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


def read_holdouts(files: Sequence[Path]) -> Holdouts:
    """What task files in the benchmark's format hold out. UserError names file, row and reason."""
    rows = [row for path in files for row in read_rows(Path(path))]
    return Holdouts(
        identifiers=tuple(identifiers(rows)),
        people=tuple(sorted({person for row in rows for person in people(row)})),
        instructions=tuple(sorted({text for row in rows if (text := normalised(row.instruction))})),
    )


def squeezed(text: str) -> str:
    """Folded letters and digits only (``S-653 4835`` -> ``s6534835``)."""
    return "".join(words(text)) or fold(text)


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
