"""No disguise hides an identity, a telephone number, an address; and what only looks like one is left alone."""

from __future__ import annotations

import base64
import json
import unicodedata
from datetime import date
from time import process_time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.leakage.folding import normalised, squeeze, squeezed, words
from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.leakage.lookalikes import from_plain, plain, plain_places
from fhirtasks.leakage.matcher import Matcher
from fhirtasks.leakage.people import date_forms
from fhirtasks.leakage.row import Row
from fhirtasks.leakage.views import first_view, further_views
from fhirtasks.population.taskfile import Person

MRN = "S6534835"
HELD = Holdouts.of(
    [
        HeldOut("a", "1", identifiers=(MRN, "10014729", "00418", "8c5dc5fe-7f5c-4d2f-9d23-1c3b5d3d7a10")),
        HeldOut("a", "2", people=(Person("Peter Stafford", date(1932, 12, 29)),), phones=("(555) 123-4567 x89",)),
        HeldOut("a", "3", addresses=("12 Oak Street, Springfield, IL 62704", "USNV Powell, FPO AE 17162")),
    ]
)
NOISE = 'Observation 4548-4 at 2020-03-04T22:24:34-05:00 is 7.1 % of "total"; see [1, 2, 3], page 24. '


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return Matcher(HELD)


def kinds(matcher: Matcher, *texts: str) -> set[str]:
    return {match.matcher for match in matcher.find(texts)}


@pytest.mark.parametrize(
    "text",
    [
        "s6534835",
        "S 653 48 35",
        "S-65\u00ad34\u200b835",
        "S65\u00a03\u20094835",
        "Ѕ６５３４８３５",
        "𝗦𝟲𝟱𝟯𝟰𝟴𝟯𝟱",
        "S\u03366\u03365\u03363\u03364835",
        "Ⓢ⑥⑤③④⑧③⑤",
        "S٦٥٣٤٨٣٥",
        "S6,5.3-4/8 3 5",
        "S00006534835",
        "MRN:S6534835",
        "MRNS6534835",
        "#S6534835",
        "urn:oid:1.2|S6534835",
        "http://h.example/Patient/S6534835/_history/1",
        "http://h.example/?identifier=x%7CS6534835&a=b",
        "%53%36%35%33%34%38%33%35",
        "%2553%2536534835",
        "x%253Ay%2525S6534835",
        "UzY1MzQ4MzU=",
        "see UzY1MzQ4MzU now",
        base64.b64encode(b"mrn s6534835 \xff?>").decode(),
        base64.urlsafe_b64encode("Müller???>>> S6534835".encode()).decode(),
        base64.b64encode(base64.b64encode(b"id: S6534835")).decode(),
        b"S6534835".hex(),
        "0x" + b"S6534835".hex().upper(),
        "\\u0053\\u0036534835",
        "\\\\u00536534835",
        "\\x536534835",
        "\\u{53}6534835",
        "&#83;&#54;&#53;&#x33;&#x34;835",
        "S six five three four eight three five",
        "S six-five, three four, eight - three five",
        "S6534B35",
        "56534835",
        '{"a":"{\\"b\\":\\"S6534835\\"}"}',
        "line\\nS6534835\\tend",
        "file_S6534835.json",
    ],
)
def test_a_disguised_identifier_is_found(matcher: Matcher, text: str) -> None:
    for whole in (text, f"{NOISE}{text}. {NOISE}", json.dumps({"content": f"{NOISE} {text} {NOISE}"})):
        (match,) = matcher.find([NOISE, whole])
        assert (match.matcher, match.evidence, match.text, match.decisive) == ("identifier", MRN, 1, True)
        assert 0 <= match.start < match.end <= len(whole)


@pytest.mark.parametrize(
    "text",
    [
        "S6534836",
        "S65348350",
        "XS6534835",
        "S653483",
        "6534835",
        "A6534835",
        "S653483 6",
        "UzY1MzQ4MzY=",
        "S65 is 34 to 835",
        "S6 or 534, then 835",
        "100147290",
        "10014.7291",
        "100, 14729",
        '["1001","4729"]',
        "418 patients",
        "in 00418",
        "room 418 and 00419",
        "8c5dc5fe-7f5c-4d2f-9d23-1c3b5d3d7a11",
        "555 123 4568",
        "5551234567890123",
        "12 Oak Street, Shelbyville, IL 62705",
        "12 Oakley Street, Springfield",
        "USNV Powell",
        "FPO AE 17162",
    ],
)
def test_what_only_looks_like_one_is_left_alone(matcher: Matcher, text: str) -> None:
    assert matcher.find([NOISE, f"{NOISE} {text} {NOISE}"]) == []


def test_letters_taken_for_digits_make_no_telephone_number() -> None:
    matcher = Matcher(Holdouts.of([HeldOut("a", "1", identifiers=("B-55 919",))]))
    assert matcher.find("call (855)919-4675 or 855919") == []
    assert kinds(matcher, "see B55919") == kinds(matcher, "see BS5919") == {"identifier"}


def test_digits_alone_need_a_word_beside_them_where_they_are_few(matcher: Matcher) -> None:
    assert kinds(matcher, "patient 00418") == kinds(matcher, "subject_id=00418") == {"identifier"}
    assert kinds(matcher, "How is patient 00418 today?") == {"identifier"}
    assert kinds(matcher, "the dose is 00418") == set()
    assert kinds(matcher, "1001-4729") == kinds(matcher, "see 10014729") == {"identifier"}


def test_what_is_split_over_two_messages_is_found(matcher: Matcher) -> None:
    assert kinds(matcher, "user", "the record is S653", "assistant", "4835, please") == {"identifier"}
    assert kinds(matcher, "I am Peter Stafford.", NOISE, "Born on December 29th, 1932") == {"person"}
    assert kinds(matcher, "live at 12 Oak", "Street, Springfield") == {"address"}
    assert kinds(matcher, "ends with S653", "no, 4835") == set()


@pytest.mark.parametrize(
    "text",
    [
        "PETER STAFFORD 1932-12-29",
        "Stafford, Peter (29.12.1932)",
        "P. Stafford, DOB 12/29/1932",
        "Stafford P, 29 Dec 1932",
        "Peter S., born 1932/12/29",
        "P. S. (19321229)",
        "Pеtеr Stаffоrd, 29-DEC-1932",
        "P\u200beter Staf\u00adford 1932-12-29",
        "Peter\u00a0\u00a0Stafford, December 29th, 1932",
        "Peter J. Stafford 12/29/32",
        "PeterStafford born 29th of December 1932",
        "P3t3r St4ff0rd, 1932-12-29",
        "Peter_Stafford 1932.12.29",
        "Peter Stafford, one nine three two-one two-two nine",
        "name=Peter&family=Stafford&birthdate=1932-12-29",
        '{"birthDate":"1932-12-29","name":[{"use":"official","family":"Stafford","given":["Peter","J."]}]}',
        base64.b64encode(b"Peter Stafford, born 29 December 1932").decode(),
        quote("Peter Stafford 1932-12-29"),
    ],
)
def test_a_disguised_person_is_found(matcher: Matcher, text: str) -> None:
    assert kinds(matcher, f"{NOISE} {text} {NOISE}") == {"person"}


@pytest.mark.parametrize(
    "text",
    [
        "Peter Stafford, born 1932-12-28",
        "Paul Stafford, born 1932-12-29",
        "Peter Stanton 1932-12-29",
        "Peter Stafford 29/12/1931",
        "Stafford 1932-12-29",
        "Peter Stafford, 12 1932 29 beds",
        "Peter Stafford 1932-12-291",
        "Q. Stafford 1932-12-29",
    ],
)
def test_another_person_is_left_alone(matcher: Matcher, text: str) -> None:
    assert kinds(matcher, f"{NOISE} {text}. {NOISE}") == set()


@pytest.mark.parametrize(
    "text",
    [
        "555-123-4567",
        "+1 (555) 123 4567",
        "15551234567",
        "tel:5551234567",
        "555.123.4567 ext. 89",
        "five five five-one two three-four five six seven",
    ],
)
def test_a_telephone_number_is_found_however_parted(matcher: Matcher, text: str) -> None:
    assert kinds(matcher, f"{NOISE} {text}; {NOISE}") == {"phone"}


@pytest.mark.parametrize(
    "text",
    [
        "12 OAK STREET, SPRINGFIELD",
        "12 Oak St., Springfield IL",
        "12 Oak St\n62704 Springfield",
        "USNV  Powell, FPO AE 17162",
        '{"line":["12 Oak Street"],"city":"Springfield","state":"IL","postalCode":"62704"}',
    ],
)
def test_an_address_is_found_with_its_city_or_postal_code(matcher: Matcher, text: str) -> None:
    assert kinds(matcher, f"{NOISE} {text}; {NOISE}") == {"address"}


@given(st.dates(date(1900, 1, 2), date(2030, 12, 30)))
def test_every_form_of_a_date_is_that_date(day: date) -> None:
    matcher = Matcher(Holdouts.of([HeldOut("a", "1", people=(Person("Zoë Quill", day),))]))
    for text in (
        day.isoformat(),
        f"{day:%Y%m%d}",
        f"{day:%m/%d/%Y}",
        f"{day:%d.%m.%Y}",
        f"{day.day} {day:%B} {day.year}",
        f"{day:%b} {day.day}, {day.year}",
        f"{day.month}/{day.day}/{day:%y}",
        f"{day.day}-{day:%b}-{day:%y}",
        f"{day.isoformat()}T00:00:00Z",
    ):
        assert kinds(matcher, f"Zoe Quill: {text}.") == {"person"}, text
    assert len({needle for needle, _, _ in date_forms(day)}) == len(date_forms(day))


@given(st.text(), st.text())
def test_folding_does_not_depend_on_case_normal_form_or_what_is_unseen(text: str, other: str) -> None:
    assert words(text) == words(unicodedata.normalize("NFD", text)) or any(
        unicodedata.category(c) == "Cn" for c in text
    )
    assert plain(text + "\u200b" + other) == plain(text) + plain(other)
    assert normalised(normalised(text)) == normalised(text)
    assert squeeze(plain(text)).decode() == squeezed(text)
    assert plain(text).isascii()


@given(st.text(st.sampled_from("aбS\u0301é３ﬃ\u200b王 -")))
def test_a_place_in_the_plain_text_is_one_in_the_text(text: str) -> None:
    folded, places = plain(text), plain_places(text)
    back = [from_plain(places, place) for place in range(len(folded))]
    assert back == sorted(back)
    assert all(0 <= place < len(text) for place in back)
    for place, letter in zip(back, folded.decode(), strict=True):
        assert letter in plain(text[place]).decode()


@given(st.text(st.characters(codec="utf-8"), min_size=7).filter(lambda text: text.isprintable()), st.booleans())
def test_base64_of_any_text_is_read(text: str, safe: bool) -> None:
    said = f"The quick brown fox {text}"
    coded = (base64.urlsafe_b64encode if safe else base64.b64encode)(said.encode()).decode()
    view = first_view(0, f"x {coded} y")
    assert said in {content for inner in further_views([view]) for content in inner.content.split("\n")}


@given(st.lists(st.text(st.sampled_from('aS6 5"\\%u0041n&#;é\u200b=U1z')), max_size=4))
def test_any_text_can_be_searched_and_every_offset_has_a_place(texts: list[str]) -> None:
    row = Row(texts)
    for offset, letter in enumerate(row.squeezed):
        if letter != 0x20:
            number, start, end = row.span(offset, offset + 1)
            assert 0 <= start <= end <= len(texts[number])
    assert b"".join(row.words).replace(b" ", b"") == row.squeezed.replace(b" ", b"")


@pytest.mark.parametrize("length", range(40, 130))
def test_base64_in_lines_is_read_to_its_last_letter(matcher: Matcher, length: int) -> None:
    said = ("a note of no interest, then another one, and more of it " * 3)[: length - len(MRN)] + " " + MRN
    coded = base64.encodebytes(said.encode()).decode().strip()
    for text in (coded, coded.replace("\n", "\r\n"), json.dumps({"data": coded}), f"see {coded} and more"):
        assert kinds(matcher, NOISE, text) == {"identifier"}, text


@pytest.mark.parametrize(
    "text",
    [
        "\\" * 200_000,
        "\\n" * 100_000,
        "%41 " * 50_000,
        "{" * 200_000,
        "1932-12-29 " * 20_000,
        "Peter Stafford " * 15_000 + "1932-12-28",
        "one two " * 25_000,
        "Zm9v" * 50_000,
        "&#65;" * 40_000,
        "a\u200b" * 100_000,
    ],
)
def test_no_text_takes_long(matcher: Matcher, text: str) -> None:
    started = process_time()
    matcher.find(["a", text, "b"])
    assert process_time() - started < 8
