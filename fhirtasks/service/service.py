"""The FHIR REST service of one episode, in process: read, search and create over a shared world.

What a response says is a function of world, scenario and the episode so far. Writes stay in the episode. References
of posted resources need not resolve (as on a server without referential integrity), and ``If-None-Exist`` cannot be
given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from operator import attrgetter
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import unquote

from fhirtasks.fhir.dates import instant
from fhirtasks.fhir.hapi import pretty
from fhirtasks.fhir.jsontext import minify
from fhirtasks.fhir.r4types import RESOURCE_TYPES
from fhirtasks.fhir.references import identifier_token, parse_reference
from fhirtasks.graph.edges import PATIENT_PATHS
from fhirtasks.graph.scenario import Scenario
from fhirtasks.graph.world import World
from fhirtasks.service.bundle import CONTENT_TYPE, Response, outcome, resource_text, searchset
from fhirtasks.service.capability import capability_statement
from fhirtasks.service.charts import Charts, Found
from fhirtasks.service.create import Refused, created_id, created_resource, read_posted, uuid_of
from fhirtasks.service.parse import PAGE, compile_query
from fhirtasks.service.query import Query, SearchError
from fhirtasks.service.table import Record, Table, top_level

__all__ = ["BASE", "Created", "Response", "Service", "Style"]

BASE = "http://localhost:8080/fhir/"
"""The base URL that prompts and Bundles show; nothing needs to listen there."""

Style: TypeAlias = Literal["compact", "hapi"]

MAX_CHARTS = 64
"""A search that names more patients than this runs in DuckDB."""

MAX_PAGINGS = 1_000
"""Searches whose further pages are kept (hapi style); the oldest expire and are answered 410."""


class Created(NamedTuple):
    """A POST that took effect. ``reference`` is ``Type/id`` as created; ``body`` is the posted JSON text."""

    url: str
    reference: str
    body: str


class Service:
    """The service of one episode. ``now`` is ISO 8601 with an offset; None shows everything (``serve``).

    ``style`` is ``compact`` (minified bodies, total always given) or ``hapi`` (the benchmark's server: printed over
    many lines, ``total`` absent while there are more pages, opaque page tokens). ValueError if ``now`` is no instant.
    """

    def __init__(
        self,
        world: World,
        *,
        now: str | None,
        task_id: str,
        scenario: Scenario = Scenario(),  # noqa: B008 - frozen, so sharing it is safe
        style: Style = "compact",
        base: str = BASE,
        writable: bool = True,
    ) -> None:
        self.world = world
        self.style = style
        self.base = base
        self.writes: list[Created] = []
        self._charts = Charts.of(world)
        self._now = now
        self._now_us = None if now is None else instant(now)
        self._task_id = task_id
        self._writable = writable
        self._pagings: dict[str, tuple[Query, list[Record]]] = {}
        self._paged = 0
        self._added: dict[str, list[Record]] = {}
        self._added_tables: dict[str, Table] = {}
        self._gone: set[tuple[str, str]] = set()
        for reference in scenario.hide:
            type, _, id = reference.partition("/")
            self._gone.add((type, id))
        own: dict[str, dict[str, Record]] = {}
        for record in map(_record, scenario.add):
            own.setdefault(record.type, {})[record.id] = record
            self._gone.add((record.type, record.id))
        for type, records in own.items():
            self._added[type] = sorted(records.values(), key=attrgetter("id"))

    def request(self, method: str, url: str, body: str | None = None) -> Response:
        """Answers one request; errors are OperationOutcomes with a server's status, never exceptions.

        ``url`` is absolute (below the base) or relative to the base. ``body`` is JSON text, or a form for ``_search``.
        """
        try:
            if not _encodable(method + url):
                raise SearchError(400, "invalid", "The URL is malformed: it holds half a surrogate pair.")
            return self._route(method, url, body)
        except SearchError as error:
            return outcome(error.status, error.code, [error.message], printed=self.style == "hapi")
        except Refused as error:
            return outcome(
                error.status, error.code, error.messages, printed=self.style == "hapi", locations=error.locations
            )

    # -- routing

    def _route(self, method: str, url: str, body: str | None) -> Response:
        path, query = self._split(url)
        if method not in ("GET", "POST"):
            raise SearchError(405, "not-supported", f"{method} is not supported; this server takes GET and POST.")
        parts = path.split("/") if path else []
        if not parts:
            if method == "GET" and "_getpages=" in query:
                return self._next_page(query)
            raise SearchError(
                404 if method == "GET" else 405, "not-supported", "Nothing is served at the base URL; name a type."
            )
        if parts == ["metadata"] and method == "GET":
            return self._answer(capability_statement(self.base, self._charts.types, writable=self._writable))
        type = parts[0]
        self._check_type(type)
        if method == "POST":
            if parts[1:] == ["_search"]:
                told = (body or "").strip()
                if told.startswith(("{", "[")) and told != "{}":
                    raise SearchError(
                        400, "invalid", "The body of a search is a form (name=value&name=value), not JSON; "
                        "its parameters may also stand in the URL."
                    )  # fmt: skip
                form = "&".join(part for part in (query, told if told != "{}" else "") if part)
                if not _encodable(form):
                    raise SearchError(400, "invalid", "The form is malformed: it holds half a surrogate pair.")
                return self._search(compile_query(type, form))
            if len(parts) == 1:
                return self._create(type, url, body)
            raise SearchError(405, "not-supported", "POST goes to [base]/[type] or [base]/[type]/_search.")
        if len(parts) == 1:
            return self._search(compile_query(type, query))
        if len(parts) == 2 and parts[1] == "_search":
            return self._search(compile_query(type, query))
        if len(parts) == 2 or (len(parts) == 4 and parts[2] == "_history"):
            return self._read(type, parts[1], parts[3] if len(parts) == 4 else None)
        raise SearchError(404, "not-supported", f"Nothing is served at {path!r}.")

    def _split(self, url: str) -> tuple[str, str]:
        """Path below the base, and query string."""
        url = url.partition("#")[0]
        place, _, query = url.partition("?")
        if place.startswith(self.base):
            path = place[len(self.base) :]
        elif place == self.base[:-1]:
            path = ""
        elif "://" in place:
            raise SearchError(404, "not-found", f"{place!r} is not below this server's base URL {self.base}.")
        elif place.startswith("/"):
            root = "/" + self.base.split("://", 1)[1].partition("/")[2]
            if f"{place}/" == root:
                place = root
            if not place.startswith(root):
                raise SearchError(404, "not-found", f"{place!r} is not below this server's base URL {self.base}.")
            path = place[len(root) :]
        else:
            path = place
        if "%" in path:
            path = unquote(path)
        path = path.removesuffix("/") if path != "/" else path
        if re.search(r"[\x00-\x20\x7f]", path):
            raise SearchError(
                400, "invalid", "The URL is malformed: white space or a control character stands in its path."
            )
        return path, query

    def _check_type(self, type: str) -> None:
        if type not in RESOURCE_TYPES and type not in self._charts.types:
            raise SearchError(
                404, "not-supported", f"Unknown resource type {type!r}; names are case-sensitive, such as Patient."
            )

    # -- read

    def _read(self, type: str, id: str, version: str | None) -> Response:
        record = self._find(type, id)
        if record is None:
            raise SearchError(404, "not-found", f"Resource {type}/{id} is not known.")
        if version is not None and version != _version(record):
            raise SearchError(404, "not-found", f"Version {version} of {type}/{id} is not known.")
        return Response(200, body=resource_text(record, printed=self.style == "hapi"))

    @property
    def types(self) -> frozenset[str]:
        """The resource types that this server holds, of any patient and of any time."""
        return frozenset((*self._charts.types, *self._added))

    def compartment(self, patient: str) -> dict[str, list[Record]]:
        """Everything of a patient that is seen now, by type in alphabetical order, each in the order of ids."""
        found = {
            type: [r for r in table.records if (type, r.id) not in self._gone and self._seen(r)]
            for type, table in self._charts.chart(patient).items()
        }
        for type, records in self._added.items():
            mine = [record for record in records if record.patient == patient]
            found[type] = sorted([*found.get(type, []), *mine], key=lambda record: record.id)
        return {type: found[type] for type in sorted(found) if found[type]}

    def prefetch(self, references: Iterable[str]) -> None:
        """Looks up what many references mean at once: each is then resolved without a query of its own."""
        parsed = map(parse_reference, references)
        self._charts.prefetch([(one.type, one.id) for one in parsed if one.type is not None and one.id is not None])

    def resolve(self, reference: str) -> Record | None:
        """The resource that a reference means, if it is seen now: literal, absolute, urn:uuid, or by identifier."""
        parsed = parse_reference(reference)
        if parsed.kind == "conditional":
            token = identifier_token(parsed)
            return None if token is None or parsed.type is None else self._identified(parsed.type, token)
        if parsed.id is not None and parsed.type is not None:
            return self._find(parsed.type, parsed.id)
        if parsed.kind == "urn":
            id = reference.rpartition(":")[2]
            for type in self._charts.types:
                if (record := self._find(type, id)) is not None:
                    return record
        return None

    def _identified(self, type: str, token: str) -> Record | None:
        """The one resource of this type with this identifier; None where there is none or more than one."""
        found = [record for id in self._charts.identified(type, token) if (record := self._find(type, id)) is not None]
        return found[0] if len(found) == 1 else None

    def _seen(self, record: Record) -> bool:
        return self._now_us is None or record.available <= self._now_us

    def _find(self, type: str, id: str) -> Record | None:
        for record in self._added.get(type, ()):
            if record.id == id:
                return record
        if (type, id) in self._gone:
            return None
        stored = self._charts.read(type, id)
        if stored is None or (self._now_us is not None and stored.available > self._now_us):
            return None
        return stored

    # -- search

    def _search(self, query: Query) -> Response:
        records = self.find(query)
        printed = self.style == "hapi" if query.pretty is None else query.pretty
        total: int | None = len(records)
        page = [] if query.total_only else self._charts.filled(records[query.offset : query.offset + query.count])
        plain = query.count == PAGE and not query.offset
        links = [("self", query.url(self.base, count=None if plain else query.count, offset=query.offset))]
        if not query.total_only and query.offset + query.count < len(records):
            if self.style == "hapi":
                token = self._keep(query, records)
                links.append(("next", self._page_url(token, query.offset + query.count, query.count)))
                total = len(records) if query.want_total else None
            else:
                links.append(("next", query.url(self.base, count=query.count, offset=query.offset + query.count)))
        return self._bundle(page, query, total, links, printed)

    def find(self, query: Query) -> list[Record]:
        """Every match, in the search's order."""
        patients = self._patients(query)
        if query.type == "Patient" or (patients is not None and len(patients) <= MAX_CHARTS):
            found = self._charts.in_memory(query, patients, self._now_us)
        else:
            found = self._charts.in_sql(query, patients, self._now_us)
        if self._gone or query.type in self._added:
            found = self._with_own(found, query, patients)
        return found.ordered(query)

    def _with_own(self, found: Found, query: Query, patients: frozenset[str] | None) -> Found:
        """The world's matches less what is hidden or replaced, with what scenario and writes added."""
        gone = {id for type, id in self._gone if type == query.type}
        kept = [record for record in found.records if record.id not in gone] if gone else found.records
        own = Found()
        if query.type in self._added:
            own.add(self._added_table(query.type), query, patients, None)
        if not own.records:
            return found if len(kept) == len(found.records) else Found(kept, found.keys)
        both = Found([*kept, *own.records], {**found.keys, **own.keys})
        both.sort_by_id()
        return both

    def _patients(self, query: Query) -> frozenset[str] | None:
        """The patients that the search is bound to; None if it is not."""
        bound: frozenset[str] | None = None
        for criterion in query.patients:
            ids = criterion.ids
            if criterion.chained is not None:
                ids = frozenset(record.id for record in self.find(criterion.chained))
            bound = ids if bound is None else bound & ids
        return bound

    def _bundle(
        self, page: list[Record], query: Query, total: int | None, links: list[tuple[str, str]], printed: bool
    ) -> Response:
        identity = None
        if self.style == "hapi":
            identity = uuid_of(self._task_id, "bundle", links[0][1])
        body = searchset(
            page, base=self.base, total=total, links=links, id=identity,
            last_updated=self._last_updated() if self.style == "hapi" else None, printed=printed,
        )  # fmt: skip
        return Response(200, body=body)

    def _keep(self, query: Query, records: list[Record]) -> str:
        self._paged += 1
        token = uuid_of(self._task_id, "pages", str(self._paged))
        self._pagings[token] = (query, records)
        if len(self._pagings) > MAX_PAGINGS:
            del self._pagings[next(iter(self._pagings))]
        return token

    def _page_url(self, token: str, offset: int, count: int) -> str:
        return (
            f"{self.base[:-1]}?_getpages={token}&_getpagesoffset={offset}&_count={count}"
            "&_format=json&_pretty=true&_bundletype=searchset"
        )

    def _next_page(self, text: str) -> Response:
        pairs = dict(part.partition("=")[::2] for part in text.split("&"))
        token, offset, count = pairs.get("_getpages", ""), pairs.get("_getpagesoffset", "0"), pairs.get("_count", "20")
        if not re.fullmatch("[0-9]{1,9}", offset) or not re.fullmatch("[0-9]{1,9}", count) or count == "0":
            raise SearchError(
                400, "invalid", "_getpagesoffset and _count are whole numbers; follow the next link as it stands."
            )
        if token not in self._pagings:
            raise SearchError(410, "not-found", f"The pages {token!r} do not exist or have expired; search again.")
        query, records = self._pagings[token]
        first, size = int(offset), int(count)
        links = [("self", self._page_url(token, first, size))]
        if first + size < len(records):
            links.append(("next", self._page_url(token, first + size, size)))
        if first > 0:
            links.append(("previous", self._page_url(token, max(0, first - size), size)))
        return self._bundle(self._charts.filled(records[first : first + size]), query, None, links, True)

    # -- create

    def _create(self, type: str, url: str, body: str | None) -> Response:
        if not self._writable:
            raise SearchError(405, "not-supported", "This server takes no writes.")
        text = read_posted(type, body or "")
        number = len(self.writes) + 1
        id = created_id(self._task_id, number)
        raw = created_resource(text, type, id, self._last_updated())
        record = self._add(_record(raw))
        self.writes.append(Created(url, f"{type}/{id}", body or ""))
        headers = {
            "Content-Type": CONTENT_TYPE,
            "Location": f"{self.base}{type}/{id}/_history/1",
        }
        return Response(201, headers, resource_text(record, printed=self.style == "hapi"))

    def _add(self, record: Record) -> Record:
        """Puts a resource into the episode's own layer; it takes the place of one with the same type and id."""
        self._gone.add((record.type, record.id))
        own = [other for other in self._added.get(record.type, ()) if other.id != record.id]
        self._added[record.type] = sorted([*own, record], key=attrgetter("id"))
        self._added_tables.pop(record.type, None)
        return record

    def _added_table(self, type: str) -> Table:
        table = self._added_tables.get(type)
        if table is None:
            table = self._added_tables[type] = Table(self._added[type])
        return table

    # -- common

    def _last_updated(self) -> str | None:
        """``now`` as an instant with milliseconds; None where there is no ``now`` (no wall clock reaches any text)."""
        if self._now is None:
            return None
        day, _, rest = self._now.partition("T")
        clock, offset = rest[:8], re.sub(r"^[\d:.]+", "", rest)
        return f"{day}T{clock}.000{'+00:00' if offset == 'Z' else offset}"

    def _answer(self, text: str) -> Response:
        return Response(200, body=pretty(text) if self.style == "hapi" else text)


@lru_cache(maxsize=4_096)
def _record(text: str) -> Record:
    """A resource of an episode's own layer. The same one is added by each episode of a task and each what-if world of its."""
    raw = minify(text)
    members = top_level(raw)
    type, id = str(members.get("resourceType", "")), str(members.get("id", ""))
    return Record(type, id, _patient_of(type, id, members), raw, None, members)


def _version(record: Record) -> str:
    """The one version that there is of a resource: what its meta says, else the first."""
    about = top_level(record.raw).get("meta")
    said = about.get("versionId") if isinstance(about, dict) else None
    return said if isinstance(said, str) else "1"


def _patient_of(type: str, id: str, resource: dict[str, object]) -> str | None:
    """The compartment of an added resource, by the elements that the graph goes by: its subject, else the one patient named."""
    if type == "Patient":
        return id
    for name in ("subject", "patient", "beneficiary", "individual", "for"):
        element = resource.get(name)
        if isinstance(element, list) and element:
            element = element[0]
        text = element.get("reference") if isinstance(element, dict) else None
        if isinstance(text, str):
            reference = parse_reference(text)
            if reference.type == "Patient" and reference.id is not None:
                return reference.id
            if reference.kind == "urn":
                return text.rpartition(":")[2]
    named = {id for name in PATIENT_PATHS for id in _patients_below(resource.get(name))}
    return named.pop() if len(named) == 1 else None


def _patients_below(node: object) -> Iterator[str]:
    """The patients whom references below an element name."""
    if isinstance(node, dict):
        text = node.get("reference")
        reference = parse_reference(text) if isinstance(text, str) else None
        if reference is not None and reference.type == "Patient" and reference.id is not None:
            yield reference.id
    if isinstance(node, dict | list):
        for item in node.values() if isinstance(node, dict) else node:
            yield from _patients_below(item)


def _encodable(text: str) -> bool:
    """False for lone surrogates, which JSON transcripts can hold and no server ever sees."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
