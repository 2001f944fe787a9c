"""The elements of R4's types, read from the model metadata of ``fhir.resources`` (R4B), and the formats of its
primitives."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any
from xml.etree import ElementTree

from fhirtasks.fhir.dates import parse_range
from fhirtasks.fhir.jsontext import Json
from fhirtasks.fhir.r4types import CODES, CONCEPTS, TARGETS


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type. ``type`` is a primitive's name in lower case (``code``), or a complex type's
    (``Period``)."""

    type: str
    primitive: bool
    many: bool
    required: bool
    codes: frozenset[str] | None
    targets: frozenset[str] | None
    binding: tuple[str, frozenset[str]] | None = None


@cache
def elements_of(type: str) -> tuple[dict[str, Element], dict[str, tuple[tuple[str, ...], bool]]]:
    """Elements of a type by JSON name, and its choices: name -> (elements, whether one is required)."""
    if type == "Element":
        id = Element("string", True, False, False, None, None)
        return {"id": id, "extension": Element("Extension", False, True, False, None, None)}, {}
    from fhir.resources.R4B import get_fhir_model_class

    table: dict[str, Element] = {}
    choices: dict[str, tuple[tuple[str, ...], bool]] = {}
    for name, field in get_fhir_model_class(type).model_fields.items():
        extra = field.json_schema_extra or {}
        if not extra.get("element_property", name in ("extension", "id")):
            continue
        if name == "resource_type":
            continue
        json_name = field.alias or name
        kind, primitive, many = _shape(field.annotation, [m for m in field.metadata if m is not None])
        codes = CODES.get(f"{type}.{json_name}")
        listed = extra.get("enum_values")
        if codes is None and listed and "+" not in listed and "mime" not in listed:
            codes = frozenset(listed)
        targets = TARGETS.get(f"{type}.{json_name}", extra.get("enum_reference_types"))
        choice = extra.get("one_of_many")
        if choice:
            names, required = choices.get(choice, ((), False))
            choices[choice] = ((*names, json_name), required or bool(extra.get("one_of_many_required")))
        place = f"{type}.{json_name}"
        table[json_name] = Element(
            type=kind,
            primitive=primitive,
            many=many,
            required=field.is_required() or bool(extra.get("element_required")),
            codes=codes if primitive else None,
            targets=frozenset(targets) if targets and "Resource" not in targets else None,
            binding=CONCEPTS.get(place),
        )
    return table, choices


def _shape(annotation: Any, metadata: list[Any]) -> tuple[str, bool, bool]:
    """(type, primitive, many) of a model field's annotation."""
    many = False
    while True:
        origin, args = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Annotated:
            return type(annotation.__metadata__[-1]).__name__.lower(), True, many
        if origin is list:
            many = True
            annotation = args[0]
        elif args:  # a union with None
            annotation = next(arg for arg in args if arg is not type(None))
        else:
            break
    if metadata:
        return type(metadata[-1]).__name__.lower(), True, many
    if annotation is bool:
        return "boolean", True, many
    return annotation.__name__.removesuffix("Type"), False, many


def _pattern(regex: str) -> Callable[[Json], bool]:
    match = re.compile(regex, re.ASCII).fullmatch
    return lambda value: isinstance(value, str) and match(value) is not None


def _whole(lowest: int) -> Callable[[Json], bool]:
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and lowest <= v <= 2**31 - 1


# A string has no control characters but tab and line ends (https://hl7.org/fhir/R4/datatypes.html#string); elsewhere
# R4's \s is ASCII white space: a no-break space is a letter like any other.
_TEXT = re.compile(r"[^\x00-\x08\x0b\x0c\x0e-\x1f]+").fullmatch
_CODE = re.compile(r"[^\s]+(\s[^\s]+)*", re.ASCII).fullmatch
_URI = re.compile(r"\S+", re.ASCII).fullmatch
_XHTML = "{http://www.w3.org/1999/xhtml}"


def _text(value: Json) -> bool:
    return isinstance(value, str) and _TEXT(value) is not None


def _uri(value: Json) -> bool:
    return isinstance(value, str) and _URI(value) is not None


def _xhtml(value: Json) -> bool:
    """A well-formed div of XHTML that says something (https://hl7.org/fhir/R4/narrative.html)."""
    if not isinstance(value, str) or "<!DOCTYPE" in value or not value.lstrip().startswith("<div"):
        return False
    try:
        div = ElementTree.fromstring(value.strip())
    except (ElementTree.ParseError, ValueError):
        return False
    names = {node.tag for node in div.iter()}
    said = "".join(div.itertext()).strip() or f"{_XHTML}img" in names
    return div.tag == f"{_XHTML}div" and f"{_XHTML}script" not in names and bool(said)


PRIMITIVES: dict[str, Callable[[Json], bool]] = {
    # https://hl7.org/fhir/R4/datatypes.html#primitive
    "boolean": lambda v: isinstance(v, bool),
    "string": _text,
    "markdown": _text,
    "code": lambda v: isinstance(v, str) and _CODE(v) is not None,
    "id": _pattern(r"[A-Za-z0-9\-.]{1,64}"),
    "uri": _uri,
    "url": _uri,
    "canonical": _uri,
    "oid": _pattern(r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+"),
    "uuid": _pattern(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    "xhtml": _xhtml,
    "date": lambda v: isinstance(v, str) and "T" not in v and parse_range(v) is not None,
    "datetime": lambda v: isinstance(v, str) and parse_range(v) is not None,
    "instant": lambda v: isinstance(v, str) and "T" in v and parse_range(v) is not None,
    "time": _pattern(r"([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?"),
    "integer": _whole(-(2**31)),
    "positiveint": _whole(1),
    "unsignedint": _whole(0),
    "decimal": lambda v: isinstance(v, int | Decimal) and not isinstance(v, bool),
    # R4's own expression, written so that no text can be read in two ways: that one takes for ever over wrapped lines.
    "base64binary": _pattern(r"\s*[0-9a-zA-Z+/=]{4}(?:\s*[0-9a-zA-Z+/=]{4})*\s*"),
}

PRIMITIVE_NAMES = {
    "datetime": "dateTime (YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss+zz:zz)",
    "instant": "instant (YYYY-MM-DDThh:mm:ss+zz:zz)",
    "positiveint": "positiveInt",
    "unsignedint": "unsignedInt",
    "base64binary": "base64Binary",
}
