"""croissant.json against mlcroissant: valid, its files are the release's, its record sets read the rows."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import mlcroissant
import pytest

from fhirtasks.release.croissant import croissant
from fhirtasks.release.documents import in_order
from fhirtasks.release.features import COLUMNS, CONFIGS
from fhirtasks.release.manifest import read_manifest
from fhirtasks.release.writer import sha256_of

AT_PUSH = ("datePublished", "version")
"""What mlcroissant recommends and only a push knows."""


@pytest.fixture(scope="module")
def dataset(release: Path) -> Any:
    logging.getLogger("absl").setLevel(logging.ERROR)
    return mlcroissant.Dataset(jsonld=str(release / "croissant.json"))


def test_it_is_valid(dataset: Any) -> None:
    assert not dataset.metadata.issues.errors
    warnings = [
        one for one in dataset.metadata.issues.warnings if not any(name in one for name in (*AT_PUSH, "citeAs"))
    ]
    assert not warnings
    assert str(dataset.metadata.ctx.conforms_to.value).endswith("1.1")


def test_every_shard_is_a_file_object_with_its_hash(release: Path) -> None:
    document = json.loads((release / "croissant.json").read_bytes())
    objects = {one["contentUrl"]: one for one in document["distribution"] if one["@type"] == "cr:FileObject"}
    shards = {path.relative_to(release).as_posix() for path in release.rglob("*.parquet")}
    assert objects.keys() == shards
    for path, one in objects.items():
        assert one["sha256"] == sha256_of(release / path)
        assert one["contentSize"] == f"{(release / path).stat().st_size} B"


@pytest.mark.parametrize("config", CONFIGS)
def test_every_config_can_be_read_by_it(config: str, dataset: Any, release: Path) -> None:
    records = list(dataset.records(config))
    stated = read_manifest(release)["files"]
    assert len(records) == sum(about["rows"] for path, about in stated.items() if path.startswith(f"{config}/"))
    assert set(records[0]) == {f"{config}/{column}" for column in COLUMNS[config]}


def test_it_speaks_of_people_as_the_sources_do(release: Path) -> None:
    manifest = in_order(read_manifest(release))

    def said(real: bool, population: bool) -> dict[str, Any]:
        about = {
            "name": "demo",
            "licence": "ODbL-1.0",
            "origin": "o",
            "real_patients": real,
            "citation": "Bennett" if real else None,
        }
        options = manifest["options"] | ({} if population else {"population": None})
        found: dict[str, Any] = json.loads(croissant(manifest | {"sources": [about, about], "options": options}))
        return found

    real, made, unsaid = said(True, False), said(False, True), said(False, False)
    assert "real patients" in real["rai:personalSensitiveInformation"][0] and real["citeAs"] == "Bennett"
    assert made["rai:personalSensitiveInformation"][0].startswith("None") and made["rai:hasSyntheticData"]
    assert "not marked" in unsaid["rai:personalSensitiveInformation"][0] and "citeAs" not in unsaid
    assert real["license"] == ["https://spdx.org/licenses/ODbL-1.0.html"]
    for one in (real, made, unsaid):
        assert len([name for name in one if name.startswith("rai:")]) >= 12
