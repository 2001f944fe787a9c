"""Everything that a FHIR server gives by search, page by page."""

from __future__ import annotations

import codecs
import hashlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import orjson

from fhirtasks.errors import UserError
from fhirtasks.graph.bundles import Envelope, minified, read_envelope, read_head
from fhirtasks.graph.columns import ELEMENTS

if TYPE_CHECKING:
    import httpx

_PAGE = 500
_TIMEOUT_S = 120.0
_BUSY, _TRIES, _LONGEST_S = (429, 503), 5, 60
"""Answers of a busy server, how often one page is asked for, and how long is waited at most before it is asked for again."""

_NOT_NOW = (401, 403, 408, 429)
"""Client errors that do not say that a server lacks what it was asked for."""

_MOST_EMPTY = 100
"""Pages without an entry in a row: some servers page over what a search leaves out."""


def is_server(source: str) -> bool:
    """True for an ``http://`` or ``https://`` URL."""
    return source.lower().startswith(("http://", "https://"))


def server_name(source: str) -> str:
    """The base URL without credentials and query, ending in one slash: the name of the source. UserError if it is no URL."""
    try:
        parts = urlsplit(source)
    except ValueError as error:
        raise UserError(f"{source} is no URL ({error}); give a server's base URL.") from None
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/") + "/", "", ""))


def pages(source: str) -> Iterator[tuple[str, bytes]]:
    """(URL, minified searchset Bundle) of every page of every type that the server can search.

    The types are those of its CapabilityStatement; a server without one is asked for every type that fhirtasks knows.
    ``next`` links are followed on the server that was named, whatever host they show (servers behind a proxy show
    another). Where a server is busy (429, 503), it is asked again after the time it names. UserError for an HTTP error, a
    page that is no Bundle, or pages that come again.
    """
    import httpx

    base = server_name(source)
    credentials = urlsplit(source)
    if credentials.query:
        raise UserError(f"A search of {base} was given; give the base URL alone, of which everything is loaded.")
    auth = (credentials.username, credentials.password or "") if credentials.username else None
    headers = {"Accept": "application/fhir+json"}
    with httpx.Client(timeout=_TIMEOUT_S, headers=headers, auth=auth, follow_redirects=True) as client:
        types, declared = _types(client, base)
        for type_ in types:
            url: str | None = f"{base}{type_}?_count={_PAGE}"
            seen: set[str] = set()
            contents: set[bytes] = set()
            empty = 0
            while url is not None:
                if url in seen:
                    raise UserError(
                        f"{url} is a next link of {base} that was followed before; its paging goes in a circle."
                    )
                seen.add(url)
                body = _get(client, url, optional=not declared and len(seen) == 1)
                if body is None:
                    break
                try:
                    text = minified(body)
                    if read_head(text).resource_type != "Bundle":
                        raise ValueError("is no Bundle")
                    page = read_envelope(text)
                except ValueError as error:
                    raise UserError(
                        f"{url} answered with something that {error}; is {base} a FHIR R4 server?"
                    ) from None
                yield url, text
                following = page.next()
                if following is None:
                    break
                content = _content(page)
                empty = 0 if content else empty + 1
                if content in contents or empty > _MOST_EMPTY:
                    raise UserError(f"{url} answered with a page that came before; the paging of {base} does not end.")
                if content:
                    contents.add(content)
                try:
                    url = _on_server(base, urljoin(url, following) if following.startswith("?") else following)
                except ValueError as error:
                    raise UserError(f"{url} has a next link that is no URL, {following!r} ({error}).") from None


def _content(page: Envelope) -> bytes:
    """A digest of what a page holds, outcomes apart; empty if that is nothing."""
    held = [bytes(entry.resource) for entry in page.entry if entry.search is None or entry.search.mode != "outcome"]
    return hashlib.sha256(b"\n".join(held)).digest() if held else b""


def _types(client: httpx.Client, base: str) -> tuple[list[str], bool]:
    """The types to ask for, and whether the server declared them."""
    body = _get(client, base + "metadata", optional=True)
    try:
        statement: Any = orjson.loads(body) if body else {}
        found = sorted(
            {
                resource["type"]
                for rest in statement.get("rest", [])
                for resource in rest.get("resource", [])
                if any(interaction.get("code") == "search-type" for interaction in resource.get("interaction", []))
            }
        )
    except (ValueError, AttributeError, KeyError, TypeError):
        found = []
    return (found, True) if found else (sorted(ELEMENTS), False)


def _get(client: httpx.Client, url: str, *, optional: bool) -> bytes | None:
    """The body of a GET; None for a client error where the thing asked for is ``optional``."""
    import httpx

    try:
        response = client.get(url)
        for tried in range(_TRIES - 1):
            if response.status_code not in _BUSY:
                break
            asked = response.headers.get("Retry-After", "")
            time.sleep(min(int(asked), _LONGEST_S) if asked.isascii() and asked.isdigit() else 2**tried)
            response = client.get(url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UserError(f"{url} cannot be reached ({error or type(error).__name__}); is the server running?") from None
    if optional and response.status_code in range(400, 500) and response.status_code not in _NOT_NOW:
        return None
    if response.status_code != httpx.codes.OK:
        raise UserError(f"{url} answered {response.status_code} {response.reason_phrase}; nothing was loaded.")
    return response.content.removeprefix(codecs.BOM_UTF8)


def _on_server(base: str, link: str) -> str:
    origin, target = urlsplit(base), urlsplit(urljoin(base, link))
    return urlunsplit((origin.scheme, origin.netloc, target.path, target.query, ""))
