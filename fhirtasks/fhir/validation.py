"""Is a resource valid R4? Asked of whatever is posted.

Two layers. The first walks the resource along the element tables of ``fhir.resources`` (R4B, a superset of R4 for all
but the types in :data:`fhirtasks.fhir.r4types.UNMODELLED`): names, cardinality, types, primitive formats, required
codes, reference targets, choice elements, and the invariants that a single element can break. The second is
``fhir.resources`` itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

from fhirtasks.fhir.invariants import RULES
from fhirtasks.fhir.jsontext import Json
from fhirtasks.fhir.r4elements import PRIMITIVE_NAMES, PRIMITIVES, Element, elements_of
from fhirtasks.fhir.r4types import RESOURCE_TYPES, UNMODELLED
from fhirtasks.fhir.references import parse_reference

_SEEN: OrderedDict[bytes, tuple[str, ...]] = OrderedDict()
_SEEN_MAX = 4_096
_MOST = 20
"""Issues reported at most."""


@dataclass(frozen=True, slots=True)
class Within:
    """The resource that an element stands in, and the ids of its contained resources."""

    resource: dict[str, Json]
    ids: frozenset[Any]


def validate(resource: dict[str, Json], text: str) -> list[str]:
    """Issues, each ``location: what is wrong`` with a FHIRPath-like location; empty if the resource is valid R4.

    ``resource`` is what :func:`fhirtasks.fhir.jsontext.loads` makes of ``text``.
    """
    key = sha256(text.encode()).digest()
    if key in _SEEN:
        _SEEN.move_to_end(key)
        return list(_SEEN[key])
    issues = list(_issues(resource, text))[:_MOST]
    _SEEN[key] = tuple(issues)
    if len(_SEEN) > _SEEN_MAX:
        _SEEN.popitem(last=False)
    return issues


def _issues(resource: dict[str, Json], text: str) -> Iterator[str]:
    type = resource.get("resourceType")
    if not isinstance(type, str) or type not in RESOURCE_TYPES:
        yield f"resourceType: {type!r} is no R4 resource type"
        return
    found: list[str] = []
    _resource(resource, type, None, found)
    yield from found
    if found or type in UNMODELLED:
        return
    # Every value has been looked at; what the models could add is about the shape, and shapes repeat.
    shape = _shape_of(resource)
    if shape not in _SHAPES and not _holds_unmodelled(resource):
        issues = list(_model_issues(type, text))
        if issues:
            yield from issues
        elif len(_SHAPES) < _SEEN_MAX:
            _SHAPES.add(shape)


_SHAPES: set[Any] = set()
"""Shapes that ``fhir.resources`` took."""

_NOT_THEIRS = ("extra_forbidden", "date", "time", "decimal", "string", "url")
"""Kinds of refusal that are not taken over: the models refuse ``_valueString`` in an Extension, a leap second, long
decimals.

The walk has judged all of these by R4's own rules."""


def _model_issues(type: str, text: str) -> Iterator[str]:
    """What ``fhir.resources`` refuses beyond that."""
    from fhir.resources.R4B import get_fhir_model_class
    from pydantic import ValidationError

    try:
        get_fhir_model_class(type).model_validate_json(text)
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            if not item["type"].startswith(_NOT_THEIRS):
                yield f"{'.'.join([type, *map(str, item['loc'])])}: {item['msg']}"


def _shape_of(node: Json) -> Any:
    """Names and kinds of value, without the values; a list counts by the different shapes in it."""
    if isinstance(node, dict):
        return tuple((name, value if name == "resourceType" else _shape_of(value)) for name, value in node.items())
    if isinstance(node, list):
        return (list, *dict.fromkeys(_shape_of(item) for item in node))
    return type(node)


def _holds_unmodelled(node: Json) -> bool:
    if isinstance(node, dict):
        return node.get("resourceType") in UNMODELLED or any(_holds_unmodelled(value) for value in node.values())
    return isinstance(node, list) and any(_holds_unmodelled(item) for item in node)


# -- the walk

_COMMON = "DomainResource"
"""Has the elements that all resources have."""


def _resource(resource: Json, path: str, within: dict[str, Json] | None, issues: list[str]) -> None:
    """``within`` is the resource that contains this one, None for one that stands by itself."""
    type = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(type, str) or type not in RESOURCE_TYPES:
        issues.append(f"{path}.resourceType: {type!r} is no R4 resource type")
        return
    ids = frozenset(id for id in _contained(resource if within is None else within).values() if isinstance(id, str))
    if within is not None and "contained" in resource:
        issues.append(f"{path}.contained: a contained resource holds none itself (dom-2)")
    elif within is None and ids:
        named = set(_local_names(resource))
        for place, id in _contained(resource).items():
            if f"#{id}" not in named and "#" not in _local_names(resource["contained"][place]):
                issues.append(f"{path}.contained[{place}]: nothing refers to it (dom-3)")
    members = {k: v for k, v in resource.items() if k != "resourceType"}
    if type in UNMODELLED:  # nothing is known of them but what every resource has
        common = elements_of(_COMMON)[0]
        members = {k: v for k, v in members.items() if k.removeprefix("_") in common}
        type = _COMMON
    _object(members, type, path, Within(resource, ids), issues)


def _contained(resource: dict[str, Json]) -> dict[int, Json]:
    """The ids of the contained resources, by their places."""
    contained = resource.get("contained")
    found = enumerate(contained if isinstance(contained, list) else ())
    return {place: item.get("id") for place, item in found if isinstance(item, dict)}


def _local_names(node: Json) -> Iterator[str]:
    """What stands anywhere below as a reference to a contained resource."""
    if isinstance(node, str):
        if node.startswith("#"):
            yield node
    elif isinstance(node, dict | list):
        for item in node.values() if isinstance(node, dict) else node:
            yield from _local_names(item)


def _object(node: Json, type: str, path: str, within: Within, issues: list[str]) -> None:
    if not isinstance(node, dict):
        issues.append(f"{path}: should be an object ({type})")
        return
    if not node and type not in RESOURCE_TYPES and type != _COMMON:
        issues.append(f"{path}: is empty (ele-1)")
        return
    table, choices = elements_of(type)
    for name, value in node.items():
        element = table.get(name)
        if element is not None:
            _values(value, element, f"{path}.{name}", node.get(f"_{name}"), within, issues)
        elif name.startswith("_") and (shadowed := table.get(name[1:])) is not None and shadowed.primitive:
            _shadow(value, shadowed, f"{path}.{name}", within, issues)
        else:
            issues.append(f"{path}.{name}: is no element of {type}")
    here = {name.removeprefix("_") for name in node}
    for name in _required(type):
        if name not in here:
            issues.append(f"{path}.{name}: is required")
    for choice, (names, required) in choices.items():
        present = [name for name in names if name in here]
        if len(present) > 1:
            issues.append(f"{path}.{choice}[x]: holds {' and '.join(present)}, of which only one may be present")
        elif required and not present:
            issues.append(f"{path}.{choice}[x]: is required")
    rule = RULES.get(type)
    if rule is not None:
        for message in rule(node):
            issues.append(f"{path}: {message}")
    if type == "Reference":
        _reference_issues(node, path, within.ids, issues)


@cache
def _required(type: str) -> tuple[str, ...]:
    return tuple(name for name, element in elements_of(type)[0].items() if element.required)


def _values(value: Json, element: Element, path: str, shadow: Json, within: Within, issues: list[str]) -> None:
    if not element.many:
        if isinstance(value, list):
            issues.append(f"{path}: may not be a list")
        else:
            _value(value, element, path, within, issues)
        return
    if not isinstance(value, list):
        issues.append(f"{path}: should be a list")
        return
    if not value:
        issues.append(f"{path}: is an empty list")
    for index, item in enumerate(value):
        if item is None and isinstance(shadow, list) and index < len(shadow) and shadow[index] is not None:
            continue  # a primitive that has only an extension
        _value(item, element, f"{path}[{index}]", within, issues)


def _value(value: Json, element: Element, path: str, within: Within, issues: list[str]) -> None:
    if value is None:
        issues.append(f"{path}: is null")
    elif element.primitive:
        if not PRIMITIVES[element.type](value):
            issues.append(f"{path}: {_shown(value)} is no {PRIMITIVE_NAMES.get(element.type, element.type)}")
        elif element.codes is not None and value not in element.codes:
            issues.append(f"{path}: {_shown(value)} is not one of {', '.join(sorted(element.codes))}")
    elif element.type == "Resource":
        inside = within.resource if path.rpartition(".")[2].startswith("contained[") else None
        _resource(value, path, inside, issues)
    else:
        _object(value, element.type, path, within, issues)
        if element.targets is not None and isinstance(value, dict):
            _target_issues(value, element.targets, path, within.resource, issues)
        if element.binding is not None and isinstance(value, dict):
            _concept_issues(value, element.binding, path, issues)


def _shadow(value: Json, element: Element, path: str, within: Within, issues: list[str]) -> None:
    """``_birthDate`` and the like: id and extensions of a primitive."""
    if element.many != isinstance(value, list):
        issues.append(f"{path}: should {'' if element.many else 'not '}be a list")
        return
    for item in value if isinstance(value, list) else [value]:
        if item is not None or not element.many:
            _object(item, "Element", path, within, issues)


def _reference_issues(node: dict[str, Json], path: str, ids: frozenset[Any], issues: list[str]) -> None:
    if not {"reference", "identifier", "display", "extension", "_reference"} & node.keys():
        issues.append(f"{path}: says neither reference, identifier nor display")
    text = node.get("reference")
    if isinstance(text, str):
        reference = parse_reference(text)
        if reference.kind == "contained" and reference.id and reference.id not in ids:
            issues.append(f"{path}.reference: {_shown(text)} names no contained resource (ref-1)")
        elif reference.kind == "other":
            issues.append(f"{path}.reference: {_shown(text)} is no reference; write Type/id")
        elif reference.kind == "relative" and reference.type not in RESOURCE_TYPES:
            issues.append(f"{path}.reference: {reference.type!r} is no R4 resource type")
        elif reference.type is not None and node.get("type", reference.type) != reference.type:
            issues.append(f"{path}.type: is another than that of the reference, {reference.type}")


def _target_issues(
    node: dict[str, Json], targets: frozenset[str], path: str, owner: dict[str, Json], issues: list[str]
) -> None:
    text = node.get("reference")
    type = None
    if isinstance(text, str):
        reference = parse_reference(text)
        type = reference.type
        if reference.kind == "contained":
            contained = owner.get("contained")
            for item in contained if isinstance(contained, list) else ():
                if isinstance(item, dict) and item.get("id") == reference.id:
                    type = item.get("resourceType")
    for found in (type, node.get("type")):
        if isinstance(found, str) and found in RESOURCE_TYPES and found not in targets:
            issues.append(f"{path}: refers to a {found}, but may refer only to {', '.join(sorted(targets))}")


def _concept_issues(node: dict[str, Json], binding: tuple[str, frozenset[str]], path: str, issues: list[str]) -> None:
    system, codes = binding
    codings = node.get("coding")
    if not any(
        isinstance(coding, dict)
        and coding.get("system") == system
        and isinstance(code := coding.get("code"), str)
        and code in codes
        for coding in (codings if isinstance(codings, list) else ())
    ):
        issues.append(f"{path}: needs a coding of {system} with one of {', '.join(sorted(codes))}")


def _shown(value: Json) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "…"
