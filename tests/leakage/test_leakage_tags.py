"""Markup is looked through in one pass: a run of tags with white space between them does not hang an audit."""

from __future__ import annotations

from fhirtasks.leakage.views import first_view, further_views


def test_a_run_of_tags_that_ends_in_nothing_takes_no_time() -> None:
    page = "a" + "<b>\n  " * 5_000 + "!"
    assert further_views([first_view(0, page)]) == []


def test_what_stands_across_tags_is_one_text() -> None:
    for page in ("S12<b>345", "S12 <i>\n</i> <b> 345", "S12</td><td>345"):
        assert [view.content for view in further_views([first_view(0, page)], depth=1)] == ["S12|345"]
