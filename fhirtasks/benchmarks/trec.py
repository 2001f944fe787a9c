"""TREC's topics for clinical trials and decision support (XML): a patient's case per topic."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.benchmarks.phrases import identifiers_in, parameters_in, people_in
from fhirtasks.errors import UserError


def read(path: Path, source: str, data: bytes) -> list[HeldOut]:
    """The topics of a file: free text (2021, 2022), a questionnaire's fields (2023), or note, description and summary.

    A field counts as a parameter, ``name: value``; all fields together are the topic's text. UserError if the file is
    no XML or has no topic.
    """
    try:
        root = ElementTree.parse(io.BytesIO(data)).getroot()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UserError(f"{path} is not XML ({error}); give TREC's topics as published, or plain text.") from None
    topics = [element for element in root.iter() if str(element.tag).lower() in ("topic", "top")]
    if not topics:
        raise UserError(f"{path} is XML without a <topic>; give TREC's topics as published, or plain text.")
    found = []
    for number, topic in enumerate(topics, 1):
        fields = [
            (child.get("name") or str(child.tag).lower(), _words("".join(child.itertext())))
            for child in topic
            if _words("".join(child.itertext()))
        ]
        fields = [(name, text) for name, text in fields if name not in ("num", "number")]
        named = bool(fields) and all(child.get("name") for child in topic)
        own = _words(topic.text or "")
        texts = ["; ".join(f"{name}: {text}" for name, text in fields)] if named else [text for _, text in fields]
        texts = list(dict.fromkeys(text for text in (own, *texts) if text))
        if not texts:
            raise UserError(f"{path}, topic {number} is empty; give TREC's topics as published.")
        whole = " ".join(texts)
        found.append(
            HeldOut(
                source=source,
                id=topic.get("number") or (topic.findtext("num") or topic.findtext("NUM") or str(number)).strip(),
                texts=tuple(texts),
                identifiers=tuple(identifiers_in(whole)),
                people=tuple(people_in(whole)),
                parameters=tuple(f"{name}: {text}" for name, text in fields) if named else tuple(parameters_in(whole)),
            )
        )
    return found


def _words(text: str) -> str:
    return " ".join(text.split())
