"""From a visit to its wards, stays, diagnoses, people and bills."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

# A visit is named by its class and the moment it began, which must be its alone.
_VISITS = """SELECT patient, class, min(t) AS start FROM encounter WHERE class IS NOT NULL AND length(t) = 19 {more}
    GROUP BY patient, class, t HAVING count(*) = 1"""
_VISIT = "seen_encounter e ON e.task = a.task AND e.class = a.slots['class'] AND e.t = a.slots['start']"

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="icu_stays_within", code="T06", category="traversal", answer="integer", tables=("encounter",),
        hops=("Encounter", "Encounter"), branches=("some", "zero"),
        needs="Encounter.partOf",
        candidates=_VISITS.format(more="AND kind = 'inpatient' AND (SELECT count(*) FROM encounter WHERE part_of <> '') > 0"),
        truth=f"""SELECT a.task, count(i.ref)::VARCHAR AS value, '' AS unit, list(i.ref) FILTER (i.ref IS NOT NULL) AS evidence,
                CASE WHEN count(i.ref) > 0 THEN 'some' ELSE 'zero' END AS branch
            FROM asked a JOIN {_VISIT} LEFT JOIN seen_encounter i ON i.task = a.task AND i.part_of = e.id AND i.class = 'ACUTE'
            GROUP BY a.task""",
        wordings=(
            "How many encounters of class ACUTE were part of the {class} encounter that began at {start}?",
            "The {class} stay starting {start}: count the class ACUTE encounters whose partOf points at it.",
            "During the admission ({class}) of {start}, what number of intensive-care stays, class ACUTE, belong to it?",
            "Follow partOf: which count of ACUTE encounters leads to the {class} encounter with period.start {start}?",
        ),
        answer_note="Answer with type integer; 0 is an answer.",
    ),
    Question(
        name="wards_of_visit", code="T07", category="traversal", answer="list", tables=("ward",),
        hops=("Encounter", "Location"), branches=("found",),
        candidates=_VISITS.format(more="AND id IN (SELECT id FROM ward WHERE name IS NOT NULL)"),
        truth=f"""SELECT a.task, to_json(list(w.name ORDER BY w.place))::VARCHAR AS value, '' AS unit,
                list(DISTINCT w.ref) AS evidence
            FROM asked a JOIN {_VISIT} JOIN seen_ward w ON w.task = a.task AND w.id = e.id
            GROUP BY a.task HAVING count(w.name) = count(*) AND count(*) <= 12""",
        wordings=(
            "Through which locations did the patient go in the {class} encounter that began at {start}?",
            "Ward history, please: Encounter of class {class}, start {start}, its locations in order.",
            "List where the patient lay during the {class} visit of {start}, place after place.",
            "For the {class} encounter with period.start {start}, name every entry of its location list.",
        ),
        answer_note=(
            "A location goes by its own name, else by the display of the reference. Answer with type list: the names in the "
            "order of "
            "the encounter's list, repetitions kept."
        ),
    ),
    Question(
        name="diagnoses_of_visit", version="2", code="T08", category="traversal", answer="set", tables=("condition", "encounter"),
        hops=("Encounter", "Condition"), lacks=("Condition",), branches=("some", "empty"),
        candidates=_VISITS.format(more=""),
        truth=f"""SELECT a.task, coalesce(to_json(list(DISTINCT c.code ORDER BY c.code) FILTER (c.ref IS NOT NULL)), '[]')::VARCHAR
                AS value, '' AS unit, list(c.ref) FILTER (c.ref IS NOT NULL) AS evidence,
                CASE WHEN count(c.ref) > 0 THEN 'some' ELSE 'empty' END AS branch
            FROM asked a JOIN {_VISIT} LEFT JOIN seen_condition c ON c.task = a.task AND c.encounter = e.id AND c.code IS NOT NULL
            GROUP BY a.task HAVING count(DISTINCT c.code) <= 40""",
        wordings=(
            "What was diagnosed in the {class} encounter that began at {start}?",
            "Collect the codes of all Conditions that refer to the {class} encounter with period.start {start}.",
            "Which diagnoses hang on the {class} visit of {start}?",
            "Start {start}, class {class}: give every condition code recorded against that encounter.",
        ),
        answer_note="Answer with type set: the codes, each once; [] if there are none.",
    ),
    Question(
        name="who_saw_patient", code="T13", category="traversal", answer="string", tables=("encounter", "practitioner"),
        hops=("Encounter", "Practitioner"), branches=("found",),
        candidates=_VISITS.format(more="AND practitioner IS NOT NULL"),
        truth=f"""SELECT a.task, to_json(any_value(p.name))::VARCHAR AS value, '' AS unit, [any_value(e.ref)] AS evidence
            FROM asked a JOIN {_VISIT} JOIN practitioner p
                ON p.id = regexp_extract(e.practitioner, '([^/:]+)$', 1)
                OR (contains(e.practitioner, '?identifier=') AND p.identifier = split_part(e.practitioner, '?identifier=', 2))
            GROUP BY a.task HAVING count(*) = 1""",
        wordings=(
            "Who was the first participant of the {class} encounter that began at {start}?",
            "Name the practitioner whom the {class} encounter with period.start {start} lists first.",
            "Which clinician saw the patient at the {class} visit of {start}?",
            "Resolve participant number one of the {class} encounter starting {start}. Whose name is it?",
        ),
        answer_note="Answer with type string: first given name, blank, family name, as the Practitioner resource has them.",
    ),
    Question(
        name="billed_for_visit", code="T15", category="traversal", answer="quantity", tables=("billing", "encounter"),
        hops=("Encounter", "Claim"), branches=("found",),
        candidates=_VISITS.format(more=""),
        truth=f"""SELECT a.task, round(sum(b.total), 2)::VARCHAR AS value, any_value(b.currency) AS unit,
                list(b.ref) FILTER (b.ref IS NOT NULL) AS evidence
            FROM asked a JOIN {_VISIT} LEFT JOIN seen_billing b ON b.task = a.task AND b.encounter = e.id AND b.type = 'Claim'
                AND b.total IS NOT NULL
            GROUP BY a.task HAVING count(DISTINCT b.currency) <= 1""",
        wordings=(
            "How much was claimed in all for the {class} encounter that began at {start}?",
            "Sum the totals of the Claims whose first item belongs to the {class} encounter with period.start {start}.",
            "What did the {class} visit of {start} cost, going by its claims?",
            "Billing check: {class} encounter, start {start}; add up Claim.total.",
        ),
        answer_note=(
            "A Claim belongs to the first encounter of its first item. Answer with type quantity and the currency as unit, "
            "rounded to "
            "2 decimals."
        ),
    ),
)  # fmt: skip
