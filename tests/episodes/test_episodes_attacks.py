"""What a message may not hide from whoever reads it after the service."""

from __future__ import annotations

import pytest

from fhirtasks.episodes.text import parse
from fhirtasks.episodes.types import Invalid


@pytest.mark.parametrize("body", ['{"status":"active","status":"draft"}', '{"note":[{"text":"a","text":"b"}]}'])
def test_a_key_twice_is_no_json_of_ours(body: str) -> None:
    """Readers differ on which of the two counts: what was posted would not be what was judged."""
    action = parse(f"POST http://localhost:8080/fhir/ServiceRequest\n{body}", "clinical")
    assert isinstance(action, Invalid) and not action.ends
    assert isinstance(parse(f"FINISH([{body}])", "clinical"), Invalid)
