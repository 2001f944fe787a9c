"""JSON whose numbers keep their text: FHIR decimals carry their precision, so ``1.10`` is not ``1.1``."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring
from typing import Any, TypeAlias

import msgspec
import orjson

Json: TypeAlias = Any
"""A JSON value; fractions are ``Decimal`` when read by :func:`loads`."""


def loads(text: str | bytes) -> Json:
    """Parses JSON; fractions and exponents become ``Decimal`` (exact).

    ValueError for bad text, NaN, Infinity, and numbers beyond Decimal's range.
    """
    try:
        try:
            return _fast(text)
        except (
            msgspec.DecodeError,
            UnicodeError,
        ):  # what it refuses: bad text, and the lone surrogates that JSON allows
            return _decode(text if isinstance(text, str) else text.decode())
    except InvalidOperation as error:
        raise ValueError("a number is out of range") from error


def dumps(value: Json) -> str:
    """Compact JSON text in the order given; a ``Decimal`` keeps its digits and its precision (``Decimal("1.10")`` -> ``1.10``).

    Below a millionth it is written by its exponent, as Python does: ``0.0000001`` becomes ``1E-7``.
    ValueError for NaN and Infinity.
    """
    try:
        data = _encode(value)
        if b"null" not in data:  # as which the encoder prints what is no number
            return data.decode()
    except (UnicodeError, TypeError, ValueError):  # what it refuses: lone surrogates, keys that are no text
        pass
    return _slowly(value)


def _slowly(value: Json) -> str:
    """As :func:`dumps`, one value at a time."""
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, int):
        return _WORDS[value] if isinstance(value, bool) else str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{encode_basestring(str(key))}:{_slowly(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_slowly, value)) + "]"
    return json.dumps(value, allow_nan=False)


def unique_keys(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """For ``object_pairs_hook``: an object whose keys differ. ValueError for a key twice: readers disagree on what it says."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def minify(text: str | bytes) -> str:
    """The same JSON text without insignificant white space; every scalar keeps its text. ValueError if malformed."""
    data = text.encode() if isinstance(text, str) else text
    try:
        return msgspec.json.format(data, indent=-1).decode()
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error


def canonical(value: Json) -> bytes:
    """Canonical bytes for hashing: sorted keys, no white space, UTF-8. Decimals belong in strings (orjson refuses them)."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def content_hash(value: Json) -> str:
    """sha256 over :func:`canonical`, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _refuse(constant: str) -> Json:
    raise ValueError(f"{constant} is not JSON")


_WORDS = {True: "true", False: "false"}
_encode = msgspec.json.Encoder(decimal_format="number").encode
_fast = msgspec.json.Decoder(float_hook=Decimal).decode
_decode = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse).decode
