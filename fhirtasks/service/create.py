"""What a POST asks to create: read, checked, and turned into the resource as stored."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from json.encoder import encode_basestring

import msgspec

from fhirtasks.fhir.jsontext import Json, minify, unique_keys


class Refused(Exception):
    """A POST that a server refuses: HTTP status, OperationOutcome code, and one message per issue with its location."""

    def __init__(self, status: int, code: str, messages: list[str], locations: list[str] | None = None) -> None:
        super().__init__(messages[0])
        self.status, self.code, self.messages, self.locations = status, code, messages, locations or []


@lru_cache(maxsize=64)
def read_posted(type: str, body: str) -> str:
    """The posted resource as minified text. Refused: 400 for no JSON or another type, 422 for invalid R4.

    The last ones are kept: an episode is replayed right after it was made.
    """
    from fhirtasks.fhir.validation import validate

    try:
        body.encode()
        value = _decode(body)
        text = minify(body)
        text.encode()
    except RecursionError as error:
        raise Refused(400, "structure", ["The body is nested too deeply."]) from error
    except InvalidOperation as error:
        raise Refused(400, "structure", ["The body holds a number that is out of range."]) from error
    except ValueError as error:
        raise Refused(400, "structure", [f"The body is no JSON: {error}."]) from error
    if not isinstance(value, dict):
        raise Refused(400, "structure", ["The body is no JSON object, so it is no resource."])
    if value.get("resourceType") != type:
        found = value.get("resourceType")
        raise Refused(400, "invalid", [f"The body's resourceType is {found!r}, but it was posted to {type}."])
    try:
        issues = validate(value, text)
    except RecursionError as error:
        raise Refused(400, "structure", ["The body is nested too deeply."]) from error
    if issues:
        places = [issue.partition(": ")[0] for issue in issues]
        raise Refused(422, "processing", issues, places)
    return text


def created_resource(text: str, type: str, id: str, last_updated: str | None) -> str:
    """The posted text as stored: the server's id and meta in front, every other member as it was written."""
    members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    meta = msgspec.json.decode(bytes(members.get("meta", b"{}")), type=dict[str, msgspec.Raw])
    version = '"versionId":"1"' + (f',"lastUpdated":"{last_updated}"' if last_updated else "")
    kept = "".join(f",{_member(k, v)}" for k, v in meta.items() if k not in ("versionId", "lastUpdated"))
    rest = "".join(f",{_member(k, v)}" for k, v in members.items() if k not in ("resourceType", "id", "meta"))
    return f'{{"resourceType":"{type}","id":"{id}","meta":{{{version}{kept}}}{rest}}}'


def created_id(task_id: str, number: int) -> str:
    """The id of an episode's ``number``-th created resource."""
    return uuid_of(task_id, "created", str(number))


def uuid_of(*parts: str) -> str:
    """A uuid (version 8, by hash) of some texts."""
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}"


def _member(key: str, value: msgspec.Raw) -> str:
    return f"{encode_basestring(key)}:{bytes(value).decode()}"


def _not_json(constant: str) -> Json:
    raise ValueError(f"{constant} is not JSON")


_decode = json.JSONDecoder(parse_float=Decimal, parse_constant=_not_json, object_pairs_hook=unique_keys).decode
