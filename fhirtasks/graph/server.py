"""Everything that a FHIR server gives by search, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import orjson

from fhirtasks.errors import UserError
from fhirtasks.graph.bundles import minified, read_envelope, read_head
from fhirtasks.graph.columns import ELEMENTS

if TYPE_CHECKING:
    import httpx

_PAGE = 500
_TIMEOUT_S = 120.0


def is_server(source: str) -> bool:
    """True for an ``http://`` or ``https://`` URL."""
    return source.lower().startswith(("http://", "https://"))


def server_name(source: str) -> str:
    """The base URL without credentials and query, ending in one slash: the name of the source."""
    parts = urlsplit(source)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/") + "/", "", ""))


def pages(source: str) -> Iterator[tuple[str, bytes]]:
    """(URL, minified searchset Bundle) of every page of every type that the server can search.

    The types are those of its CapabilityStatement; a server without one is asked for every type that fhirtasks knows.
    ``next`` links are followed on the server that was named, whatever host they show (servers behind a proxy show
    another). UserError for an HTTP error, a page that is no Bundle, or links that go in a circle.
    """
    import httpx

    base = server_name(source)
    credentials = urlsplit(source)
    auth = (credentials.username, credentials.password or "") if credentials.username else None
    headers = {"Accept": "application/fhir+json"}
    with httpx.Client(timeout=_TIMEOUT_S, headers=headers, auth=auth, follow_redirects=True) as client:
        types, declared = _types(client, base)
        for type_ in types:
            url: str | None = f"{base}{type_}?_count={_PAGE}"
            seen: set[str] = set()
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
                    following = read_envelope(text).next()
                except ValueError as error:
                    raise UserError(
                        f"{url} answered with something that {error}; is {base} a FHIR R4 server?"
                    ) from None
                yield url, text
                url = None if following is None else _on_server(base, following)


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
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UserError(f"{url} cannot be reached ({error or type(error).__name__}); is the server running?") from None
    if optional and response.status_code in range(400, 500) and response.status_code not in (401, 403):
        return None
    if response.status_code != httpx.codes.OK:
        raise UserError(f"{url} answered {response.status_code} {response.reason_phrase}; nothing was loaded.")
    return response.content


def _on_server(base: str, link: str) -> str:
    origin, target = urlsplit(base), urlsplit(urljoin(base, link))
    return urlunsplit((origin.scheme, origin.netloc, target.path, target.query, ""))
