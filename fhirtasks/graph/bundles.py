"""From JSON text to resources: one resource, or a Bundle of any type taken apart, nested ones too.

Nothing inside a resource is decoded: its text is cut out of the minified Bundle as it stands, so numbers keep their
digits.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from fhirtasks.fhir.dates import instant
from fhirtasks.fhir.references import parse_reference


class Head(msgspec.Struct):
    """What every resource says of itself."""

    resource_type: str = msgspec.field(name="resourceType")
    id: str | msgspec.UnsetType = msgspec.UNSET


class _Request(msgspec.Struct):
    method: str | None = None
    url: str | None = None


class _Response(msgspec.Struct):
    etag: str | None = None
    last_modified: str | None = msgspec.field(name="lastModified", default=None)


class _Search(msgspec.Struct):
    mode: str | None = None


class _Entry(msgspec.Struct):
    full_url: str | None = msgspec.field(name="fullUrl", default=None)
    resource: msgspec.Raw = msgspec.Raw(b"")
    request: _Request | None = None
    response: _Response | None = None
    search: _Search | None = None


class _Link(msgspec.Struct):
    relation: str = ""
    url: str = ""


class Envelope(msgspec.Struct):
    """A Bundle around its entries."""

    type: str | None = None
    entry: list[_Entry] = []
    link: list[_Link] = []

    def next(self) -> str | None:
        """The URL of the next page of a search."""
        return next((link.url for link in self.link if link.relation == "next" and link.url), None)


@dataclass(frozen=True, slots=True)
class Found:
    """One resource: minified text, and the fullUrl of its Bundle entry."""

    type: str
    id: str
    raw: bytes
    full_url: str | None = None
    bundle: str | None = None


@dataclass(frozen=True, slots=True)
class Deleted:
    """A history entry that says that a resource was deleted; ``updated`` in epoch µs, both -1 if the entry does not
    say.
    """

    type: str
    id: str
    version: int
    updated: int


@dataclass(frozen=True, slots=True)
class Opened:
    """A Bundle that was taken apart; ``hash`` is the sha256 of its minified text."""

    hash: str
    type: str | None


DEEPEST = 500
"""Levels of nesting that are taken. What is read here is walked by recursion elsewhere, which Python bounds at about
twice that."""

LONGEST_VERSION = 18
"""Digits of a version that is a number: what fits a 64-bit integer. A longer one is a name and says nothing about order."""

_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_UNESCAPED = re.compile(rb'"[^"]*"')
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)
_UUID = re.compile(r"urn:uuid:([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})")
decode_head = msgspec.json.Decoder(Head).decode
decode_envelope = msgspec.json.Decoder(Envelope).decode


def minified(data: bytes) -> bytes:
    """``data`` without insignificant white space. ValueError, worded for a message, if it is not strict JSON."""
    try:
        text = msgspec.json.format(data, indent=-1)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"is not JSON ({_reason(error)})") from None
    if too_deep(text):
        raise ValueError(f"is nested too deeply (more than {DEEPEST} levels)")
    # The one fault that msgspec lets through: half of a surrogate pair, which no text can hold.
    if b"\\u" in text and any(escape[1] for escape in _ESCAPE.finditer(text)):
        raise ValueError("is not JSON (an escape that is half of a surrogate pair)")
    return text


def too_deep(text: bytes) -> bool:
    """Whether a JSON text has more than ``DEEPEST`` levels."""
    if text.count(b"[") + text.count(b"{") <= DEEPEST or _levels(text) <= DEEPEST:
        return False
    without_quotes = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return _levels(_UNESCAPED.sub(b"", without_quotes)) > DEEPEST


def _levels(text: bytes) -> int:
    """The most brackets open at once; those in strings are taken for brackets."""
    import numpy as np

    brackets = np.frombuffer(text.translate(None, _NO_BRACKETS), np.uint8)
    steps = np.where((brackets | 32) == 123, np.int32(1), np.int32(-1))  # [ | 32 is {
    return int(steps.cumsum(dtype=np.int32).max(initial=0))


def read_head(text: bytes) -> Head:
    """Type and id. ValueError, worded for a message, if the text is no resource."""
    try:
        head = decode_head(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"is JSON but no FHIR resource ({_reason(error)})") from None
    if not (head.resource_type.isascii() and head.resource_type.isalpha()):
        raise ValueError(f"is JSON but no FHIR resource (its resourceType is {head.resource_type[:40]!r})")
    return head


def resources_in(text: bytes, *, paged: bool = False) -> Iterator[Found | Deleted | Opened]:
    """The resources of a minified text: itself, or, if it is a Bundle, what its entries hold.

    With ``paged`` the outermost Bundle is a page of a search: it is no record, and its outcome entries are left out.
    ValueError, worded for a message, if an entry is no resource.
    """
    head = read_head(text)
    if head.resource_type != "Bundle":
        yield _found(text, head, None, None)
        return
    envelope, digest = read_envelope(text), hashlib.sha256(text).hexdigest()
    if not paged:
        yield Opened(digest, envelope.type)
    for number, entry in enumerate(envelope.entry, 1):
        try:
            inner = bytes(entry.resource)
            if inner in (b"", b"null"):
                if deletion := _deletion(entry):
                    yield deletion
                continue
            if paged and entry.search is not None and entry.search.mode == "outcome":
                continue
            head = read_head(inner)
            if head.resource_type == "Bundle":
                yield from resources_in(inner)
            else:
                yield _found(inner, head, entry.full_url, digest)
        except ValueError as error:
            raise ValueError(f"has an entry (number {number}) that {error}") from None


def read_envelope(text: bytes) -> Envelope:
    """A Bundle's envelope. ValueError, worded for a message, if its parts have the wrong shape."""
    try:
        return decode_envelope(text)
    except msgspec.DecodeError as error:
        raise ValueError(f"is a malformed Bundle ({_reason(error)})") from None


def _found(text: bytes, head: Head, full_url: str | None, bundle: str | None) -> Found:
    """A resource without an id gets one, as a server gives it one: from its fullUrl, else from its content."""
    if head.id is not msgspec.UNSET:
        if not head.id:
            raise ValueError("is JSON but no FHIR resource (its id is empty)")
        return Found(head.resource_type, head.id, text, full_url, bundle)
    new_id = None
    if full_url is not None:
        uuid = _UUID.fullmatch(full_url)
        reference = parse_reference(full_url)
        new_id = uuid[1] if uuid else reference.id if reference.type == head.resource_type else None
    if new_id is None:
        new_id = hashlib.sha256(text).hexdigest()[:32]
    return Found(head.resource_type, new_id, b'{"id":"' + new_id.encode() + b'",' + text[1:], full_url, bundle)


def _deletion(entry: _Entry) -> Deleted | None:
    """A history's DELETE entry. One without a version or a time says nothing about order and is passed over."""
    if entry.request is None or entry.request.method != "DELETE" or entry.response is None:
        return None
    reference = parse_reference(entry.request.url or entry.full_url or "")
    if reference.type is None or reference.id is None:
        return None
    digits = re.search(r"\d+", entry.response.etag or "")
    try:
        updated = instant(entry.response.last_modified or "")
    except ValueError:
        updated = -1
    version = int(digits[0]) if digits and len(digits[0]) <= LONGEST_VERSION else -1
    return Deleted(reference.type, reference.id, version, updated) if (version, updated) != (-1, -1) else None


def _reason(error: BaseException) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
