"""``croissant.json``: the release as Croissant 1.1 JSON-LD with the responsible-AI fields, from the manifest alone.

Every shard is a file object with its sha256, every config a record set. What the manifest cannot know (where the release
is published, when, under which version) is not stated; the sentences stand in ``cards/croissant.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import fhirtasks
from fhirtasks.fhir.jsontext import content_hash
from fhirtasks.release.features import COLUMNS, CONFIGS
from fhirtasks.release.licences import licences, spdx

NAME: Final = "croissant.json"
_TEXTS = Path(fhirtasks.__file__).parents[1] / "cards" / "croissant.json"
_PARQUET = "application/x-parquet"
_TYPES = {"string": "sc:Text", "int64": "sc:Integer"}

CONTEXT: Final[dict[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{
        term: f"cr:{term}"
        for term in (
            *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileObject"),
            *("fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5"),
            *("parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate"),
            *("separator", "source", "subField", "transform"),
        )
    },
}
"""The terms of Croissant 1.1 (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html)."""


def croissant(manifest: dict[str, Any]) -> bytes:
    """The file's bytes: one value per line, so that two releases can be compared by eye."""
    return (json.dumps(_document(manifest), indent=1, ensure_ascii=False) + "\n").encode()


def _document(manifest: dict[str, Any]) -> dict[str, Any]:
    texts = json.loads(_TEXTS.read_text(encoding="utf-8"))
    sources = manifest["sources"]
    identity = content_hash(manifest["row_sets"])
    citations = list(dict.fromkeys(source["citation"] for source in sources if source.get("citation")))
    configs = [config for config in CONFIGS if any(path.startswith(f"{config}/") for path in manifest["files"])]
    shards = {path: about for path, about in manifest["files"].items() if path.endswith(".parquet")}
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": f"fhirtasks-{identity[:12]}",
        "description": texts["description"],
        "identifier": f"sha256:{identity}",
        "license": [licence_url(source.get("licence")) for source in _by_licence(sources)] or ["unknown"],
        **({"citeAs": "; ".join(citations)} if citations else {}),
        "keywords": ["fhir", "electronic health records", "agents", "tool use", "verified trajectories"],
        "inLanguage": "en",
        "isLiveDataset": False,
        **{name: text for name, text in texts.items() if name.startswith("rai:")},
        **_people(manifest),
        "rai:machineAnnotationTools": [f"fhirtasks {manifest['versions']['fhirtasks']}: graders, one per family"],
        "distribution": [
            *(_file(path, about) for path, about in sorted(shards.items())),
            *(_files_of(config) for config in configs),
        ],
        "recordSet": [_records(config, _message_parts(manifest)) for config in configs],
    }


def licence_url(name: str | None) -> str:
    """Where a licence's text is, for those we know; else its name as it was given."""
    known = spdx(name) if name else None
    return licences()[known].source if known else name or "unknown"


def _by_licence(sources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The sources, one per licence."""
    return list({source.get("licence"): source for source in sources}.values())


def _people(manifest: dict[str, Any]) -> dict[str, Any]:
    """What the records tell of real people, as far as the sources say."""
    real = [source for source in manifest["sources"] if source.get("real_patients")]
    names = ", ".join(dict.fromkeys(str(source["name"]) for source in real))
    if real:
        personal = (
            f"Health data of real patients ({names}), de-identified by those who published them. Do not try to find out who "
            "they are."
        )
    elif manifest["options"].get("population"):
        personal = "None: the patients, their names, dates and numbers are made by a program."
    else:
        personal = "The sources are not marked as records of real patients."
    origins = [f"{source['name']}, {source.get('origin') or 'origin not stated'}" for source in manifest["sources"]]
    return {
        "rai:dataCollectionType": ["Secondary Data analysis"] if real else ["Software Collection"],
        "rai:dataCollectionRawData": "; ".join(dict.fromkeys(origins)) or "not stated",
        "rai:hasSyntheticData": bool(manifest["options"].get("population")) or _overlaid(manifest),
        "rai:personalSensitiveInformation": [personal],
    }


def _overlaid(manifest: dict[str, Any]) -> bool:
    return any(row["overlaid"] for family in manifest["families"].values() for row in family["branches"].values())


def _file(path: str, about: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{about['bytes']} B",
        "encodingFormat": _PARQUET,
        "sha256": about["sha256"],
    }


def _files_of(config: str) -> dict[str, Any]:
    name = f"{config}-files"
    pattern = f"{config}/*.parquet"
    return {"@type": "cr:FileSet", "@id": name, "name": name, "encodingFormat": _PARQUET, "includes": pattern}


def _message_parts(manifest: dict[str, Any]) -> tuple[str, ...]:
    """The members of a message: more than two where tools are called natively."""
    spoken = str(manifest["options"]["protocol"]).split(", ")
    return ("role", "content") if spoken == ["text"] else ("role", "content", "tool_calls", "name")


def _records(config: str, parts: tuple[str, ...]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": config,
        "name": config,
        "field": [_field(config, column, kind, parts) for column, kind in COLUMNS[config].items()],
    }


def _field(config: str, column: str, kind: str, parts: tuple[str, ...]) -> dict[str, Any]:
    source = {"fileSet": {"@id": f"{config}-files"}, "extract": {"column": column}}
    field = {"@type": "cr:Field", "@id": f"{config}/{column}", "name": column, "source": source}
    if kind in _TYPES:
        return field | {"dataType": _TYPES[kind]}
    members = [
        {
            "@type": "cr:Field",
            "@id": f"{config}/{column}/{part}",
            "name": part,
            "dataType": "sc:Text",
            "source": source | {"transform": {"jsonPath": part}},
        }
        for part in parts
    ]
    return field | {"isArray": True, "arrayShape": "-1", "subField": members}
