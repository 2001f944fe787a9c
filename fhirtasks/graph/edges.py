"""References become edges; what cannot be resolved stays an edge that is not resolved.

``path`` is the top-level element that the reference stands in. Resolution looks at the whole graph, so the order of
loading does not matter: a relative reference by type and id; an absolute one by the type and id at its end, whatever
its base, else as a ``urn:``; a ``urn:`` by the fullUrl of a Bundle entry, first of the Bundles that hold the pointing
resource, else of any Bundle, else by an id that only one resource has; a conditional or logical one by an identifier
that only one resource of the type has; ``#id`` by the resource's own contained ones. Canonical URLs
(``meta.profile``, ``instantiatesCanonical``) are no references.
"""

from __future__ import annotations

import json
import re

import duckdb
import msgspec

from fhirtasks.fhir.jsontext import Json
from fhirtasks.fhir.references import ID_PATTERN, TARGET_PATTERN, TYPE_PATTERN, identifier_token, parse_reference
from fhirtasks.graph.columns import ELEMENTS, OTHER, Elements
from fhirtasks.graph.stage import LINKS, LOGICAL
from fhirtasks.graph.store import insert

PATIENT_PATHS = ("subject", "patient", "beneficiary", "individual", "for", "target", "participant", "actor")
"""Where the patient of a compartment stands when the text alone does not tell it (R4 CompartmentDefinition/patient)."""

_HARD = """(kind in ('urn', 'conditional', 'contained', 'logical')
    or (kind = 'absolute' and not resolved and reference in (select url from full_url)))"""


def may_name_owners(db: duckdb.DuckDBPyConnection) -> bool:
    """Whether :func:`build_edges` may set the patient of any row of ``staging``."""
    keys = f"list_has_any(json_keys(raw), {list(PATIENT_PATHS)})"
    return bool(db.execute(f"select 1 from staged where patient is null and {keys} limit 1").fetchall())


def build_edges(db: duckdb.DuckDBPyConnection, *, logical: bool) -> None:
    """Fills ``edge`` from the temporary table ``staging``, and its ``patient`` where only an edge tells it.

    ``logical`` says whether there may be references by identifier alone.
    """
    _edges(db)
    if logical:
        _logical(db)
    db.execute(f"create temp table hard as select * from edge where {_HARD}")
    if db.execute("select 1 from hard limit 1").fetchall():
        db.execute(f"delete from pointer where {_HARD}")
        _urns(db)
        _identifiers(db)
        _contained(db)
        db.execute("""insert into pointer
            select h.type, h.id, h.path, h.reference, h.kind,
                coalesce(f.target_type, h.target_type, '') || '/' || coalesce(f.target_id, ''),
                f.target_id is not null or c.id is not null
            from hard h
            left join found f using (type, id, reference)
            left join inside c using (type, id, reference)""")
    _owners(db)


def _edges(db: duckdb.DuckDBPyConnection) -> None:
    """Every reference string becomes an edge, with its kind and, for a relative or absolute one, its target.

    Where all the references of a text stand at the places that ``columns`` read anyway, they are taken from there;
    other texts are searched element by element.
    """
    db.execute("create temp table tops (type varchar, paths varchar[])")
    insert(db, "tops", [(type_, _tops(at)) for type_, at in ELEMENTS.items()])
    other = _tops(OTHER)
    target = (
        f"regexp_extract(reference, '{TARGET_PATTERN}', 1) || '/' || regexp_extract(reference, '{TARGET_PATTERN}', 2)"
    )
    db.execute(f"""insert into pointer
        select type, id, path, reference, kind,
            case when kind not in ('relative', 'absolute') then '/' when key <> reference then key end,
            resolved
        from (
            select *, case
                when resolved then case when contains(reference, '://') then 'absolute' else 'relative' end
                when starts_with(reference, '#') then 'contained'
                when starts_with(reference, 'urn:') then 'urn'
                when regexp_full_match(reference, '{TYPE_PATTERN}/{ID_PATTERN}(?:/_history/{ID_PATTERN})?') then 'relative'
                when regexp_full_match(reference, '(?:.*/)?{TYPE_PATTERN}[?].+') then 'conditional'
                when regexp_matches(reference, '^[A-Za-z][A-Za-z0-9+.-]*:') then 'absolute'
                else 'other' end as kind
            from (
                select *, key in (select type || '/' || id from staged) as resolved from (
                    select *, case when contains(reference, '://') or contains(reference, '/_history/')
                        then {target} else reference end as key
                    from (
                        select type, id, path, reference from (
                            select type, id, unnest(coalesce(paths, {other})) as path, unnest([{", ".join(LINKS)}]) as reference
                            from staging left join tops using (type) where not more)
                        where reference is not null
                        union all
                        select type, id, path, reference from (
                            select type, id, path, unnest(json_extract_string(element, '$..reference')) as reference from (
                                select type, id, unnest(json_keys(raw)) as path, unnest(json_extract(raw, '$.*')) as element
                                from staged where more)
                            where contains(element, '"reference":"'))
                        where reference is not null and not starts_with(reference, '{{')))))""")


def _tops(at: Elements) -> list[str]:
    """The top-level elements that ``LINKS`` stand in."""
    return [re.split(r"[.\[]", path)[0] for path in (at.subject, *at.links)]


def _read(text: str) -> dict[str, Json]:
    """A resource's members. Numbers may lose what they say: nothing looks at them here."""
    try:
        members = msgspec.json.decode(text)
    except msgspec.ValidationError:  # a number beyond a double, or a long integer, is legal
        members = json.loads(text, parse_int=str, parse_float=str)
    return members if isinstance(members, dict) else {}


def _logical(db: duckdb.DuckDBPyConnection) -> None:
    """Adds edges by identifier alone, as ``Type?identifier=system|value`` (the type as far as it is given)."""
    rows = db.execute(f"select type, id, raw from staged where contains(raw, '{LOGICAL.decode()}')")
    found: list[tuple[str | bool | None, ...]] = []
    while row := rows.fetchone():
        for path, element in _read(row[2]).items():
            found += [
                (row[0], row[1], path, reference, "logical", f"{type_ or ''}/", False)
                for reference, type_ in _logical_in(element)
            ]
    insert(db, "pointer", found)


def _logical_in(element: Json) -> list[tuple[str, str | None]]:
    """(reference, type) of every element below that has an identifier and no reference."""
    found: list[tuple[str, str | None]] = []
    rest = [element]
    while rest:
        node = rest.pop()
        if isinstance(node, list):
            rest += node
        if not isinstance(node, dict):
            continue
        rest += node.values()
        identifier = node.get("identifier")
        if isinstance(identifier, dict) and "reference" not in node and "resourceType" not in node:
            type_ = node.get("type") if isinstance(node.get("type"), str) else None
            token = f"{identifier.get('system') or ''}|{identifier.get('value') or ''}"
            found.append((f"{type_ or ''}?identifier={token}", type_))
    return found


def _urns(db: duckdb.DuckDBPyConnection) -> None:
    """Temporary table ``found``, with the targets of ``urn:`` references."""
    db.execute("""create temp table found as
        with wanted as (select distinct type, id, reference from hard where kind in ('urn', 'absolute')),
        named as (
            select w.type, w.id, w.reference, f.type as target_type, f.id as target_id,
                bool_or((f.bundle, w.type, w.id) in (select (bundle, type, id) from full_url)) as same_bundle
            from wanted w join full_url f on f.url = w.reference
            where (f.type, f.id) in (select (type, id) from staged) group by all),
        chosen as (
            select type, id, reference, min((target_type, target_id)) as target from named n
            where same_bundle or not exists (
                select 1 from named m where m.same_bundle and (m.type, m.id, m.reference) = (n.type, n.id, n.reference))
            group by all having count(*) = 1),
        owner as (
            select id, min(type) as type from staged
            where id in (select split_part(reference, ':', 3) from wanted) group by id having count(*) = 1),
        by_id as (
            select w.type, w.id, w.reference, o.type as target_type, o.id as target_id
            from wanted w join owner o on w.reference = 'urn:uuid:' || o.id
            where w.reference not in (select url from full_url))
        select type, id, reference, target[1] as target_type, target[2] as target_id from chosen
        union all select * from by_id""")


def _identifiers(db: duckdb.DuckDBPyConnection) -> None:
    """Adds the targets of conditional and logical references to ``found``."""
    texts = db.execute("select distinct reference from hard where kind in ('conditional', 'logical')").fetchall()
    wanted = []
    for (text,) in texts:
        reference = parse_reference(text if not text.startswith("?") else f"Any{text}")
        token = identifier_token(reference)
        if token is not None:
            system, bar, value = token.rpartition("|")
            type_ = None if text.startswith("?") else reference.type
            wanted.append((text, type_, system if bar else None, value))
    if not wanted:
        return
    db.execute("create temp table asked (reference varchar, type varchar, system varchar, value varchar)")
    insert(db, "asked", wanted)
    db.execute("""create temp table identifier as
        select type, id, coalesce(i->>'system', '') as system, i->>'value' as value from (
            select type, id, unnest(json_extract(raw, '$.identifier[*]')) as i from staged
            where type in (select type from asked) or exists (select 1 from asked where type is null))""")
    db.execute("""insert into found
        with matched as (
            select a.reference, min(i.type) as target_type, min(i.id) as target_id
            from asked a join identifier i
                on i.value = a.value and (a.system is null or a.system = i.system) and (a.type is null or a.type = i.type)
            group by a.reference having count(distinct (i.type, i.id)) = 1)
        select distinct h.type, h.id, h.reference, m.target_type, m.target_id
        from hard h join matched m using (reference) where h.kind in ('conditional', 'logical')""")


def _contained(db: duckdb.DuckDBPyConnection) -> None:
    """Temporary table ``inside``: the ``#id`` references that a contained resource (or, for ``#``, the resource)
    answers.
    """
    db.execute("""create temp table inside as
        with wanted as (select distinct type, id, reference from hard where kind = 'contained')
        select type, id, reference from wanted join staged using (type, id)
        where reference = '#' or list_contains(json_extract_string(raw, '$.contained[*].id'), reference[2:])""")


def _owners(db: duckdb.DuckDBPyConnection) -> None:
    """Sets the one patient that an edge names for a resource whose text names none."""
    paths = ", ".join(map(repr, PATIENT_PATHS))
    db.execute(f"""create temp table owner as
        select type, id, min(target_id) as patient from edge
        where target_type = 'Patient' and target_id is not null and type <> 'Patient' and path in ({paths})
            and (type, id) in (select (type, id) from staged where patient is null)
        group by type, id having count(distinct target_id) = 1""")
    if db.execute("select 1 from owner limit 1").fetchall():
        db.execute("""update staging set patient = owner.patient from owner
            where staging.type = owner.type and staging.id = owner.id""")
