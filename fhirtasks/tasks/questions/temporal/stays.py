"""When visits began and ended, how long they took, how long ago they were, how far apart; how old the patient was."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

_PLACES = """SELECT DISTINCT patient, class, place FROM encounter, (VALUES ('first'), ('second'), ('last'), ('second to last'))
    p(place) WHERE class IS NOT NULL AND length(t) = 19"""

# Visits of the class by their start; two with one start are a tie, which leaves the task out.
_RANKED = """WITH ranked AS (SELECT a.task, a.t_now, a.slots['place'] AS place, e.ref, e.t, e.t_end,
        row_number() OVER (PARTITION BY a.task ORDER BY e.t) AS up,
        row_number() OVER (PARTITION BY a.task ORDER BY e.t DESC) AS down,
        count(*) OVER (PARTITION BY a.task, e.t) AS together
    FROM asked a JOIN seen_encounter e ON e.task = a.task AND e.class = a.slots['class'] AND length(e.t) = 19),
clean AS (SELECT task FROM ranked GROUP BY task HAVING max(together) = 1),
chosen AS (SELECT * FROM ranked WHERE CASE place WHEN 'first' THEN up = 1 WHEN 'second' THEN up = 2 WHEN 'last' THEN down = 1
    ELSE down = 2 END)"""
_ALL = "WHERE a.task IN (FROM clean) OR a.task NOT IN (SELECT task FROM ranked)"

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="nth_visit_time", code="D05", category="temporal", answer="datetime", tables=("encounter",),
        hops=("Encounter",), branches=("found", "none"),
        candidates=f"SELECT patient, class, place, edge FROM ({_PLACES}), (VALUES ('began'), ('ended')) s(edge)",
        truth=f"""{_RANKED} SELECT a.task, to_json(CASE a.slots['edge'] WHEN 'began' THEN c.t ELSE c.t_end END)::VARCHAR AS value,
                '' AS unit, CASE WHEN c.ref IS NULL THEN [] ELSE [c.ref] END AS evidence
            FROM asked a LEFT JOIN chosen c ON c.task = a.task
            {_ALL} AND (c.ref IS NULL OR length(c.t_end) = 19)""",
        wordings=(
            "At what time has the patient's {place} encounter of class {class} {edge}?",
            "The {place} {class} visit, visits being ordered by their start: give the moment at which it {edge}.",
            "Among encounters with class {class}, take the {place} one. When is it recorded to have {edge}?",
            "I remember several {class} visits; tell me the time that stands for the {place} one as having {edge}.",
        ),
        answer_note=(
            "Answer with type datetime: the first 19 characters of the recorded time, or with none where there are not so many "
            "visits."
        ),
    ),
    Question(
        name="length_of_stay", code="D06", category="temporal", answer="duration", tables=("encounter",),
        hops=("Encounter",), branches=("found",),
        candidates=f"SELECT patient, class, place, scale FROM ({_PLACES}), (VALUES ('hours'), ('minutes')) s(scale)",
        truth=f"""{_RANKED} SELECT c.task, round(date_diff('second', c.t::TIMESTAMP, c.t_end::TIMESTAMP) /
                    CASE a.slots['scale'] WHEN 'hours' THEN 3600.0 ELSE 60.0 END, 2)::VARCHAR AS value, a.slots['scale'] AS unit,
                [c.ref] AS evidence
            FROM asked a JOIN chosen c USING (task) WHERE c.task IN (FROM clean) AND length(c.t_end) = 19""",
        wordings=(
            "How many {scale} did the patient's {place} encounter of class {class} last?",
            "Length, in {scale}, of the {place} {class} visit (visits ordered by start)?",
            "From period.start to period.end: the {place} encounter whose class is {class}, expressed in {scale}.",
            "Work out for how long, counted in {scale}, the {place} of all {class} stays went on.",
        ),
        answer_note=(
            "Take the recorded local times as they stand. Answer with type duration, rounded to 2 decimals, and the unit asked for."
        ),
    ),
    Question(
        name="days_since_visit", code="D07", category="temporal", answer="duration", tables=("encounter",),
        hops=("Encounter",), branches=("found",),
        candidates=_PLACES,
        truth=f"""{_RANKED} SELECT c.task, date_diff('day', left(c.t, 10)::DATE, left(c.t_now, 10)::DATE)::VARCHAR AS value,
                'days' AS unit, [c.ref] AS evidence
            FROM asked a JOIN chosen c USING (task) WHERE c.task IN (FROM clean)""",
        wordings=(
            "How many days ago did the patient's {place} encounter of class {class} begin?",
            "Count the days from the start of the {place} {class} visit up to now.",
            "Visits of class {class}, ordered by start: how long, in days, has it been since the {place} one began?",
            "Today minus the date of my {place} {class} encounter, in days?",
        ),
        answer_note="Count calendar days between the two dates. Answer with type duration and the unit days.",
    ),
    Question(
        name="longest_gap", code="D08", category="temporal", answer="duration", tables=("encounter",),
        hops=("Encounter",), branches=("found",),
        candidates="""SELECT patient, class FROM encounter WHERE class IS NOT NULL AND length(t) = 19
            GROUP BY ALL HAVING count(*) >= 3""",
        truth="""WITH gap AS (SELECT a.task, e.ref, lag(e.ref) OVER w AS before,
                    date_diff('day', left(lag(e.t) OVER w, 10)::DATE, left(e.t, 10)::DATE) AS days
                FROM asked a JOIN seen_encounter e ON e.task = a.task AND e.class = a.slots['class'] AND length(e.t) = 19
                WINDOW w AS (PARTITION BY a.task ORDER BY e.t, e.id)),
            most AS (SELECT *, rank() OVER (PARTITION BY task ORDER BY days DESC) AS n FROM gap WHERE days IS NOT NULL)
            SELECT task, any_value(days)::VARCHAR AS value, 'days' AS unit, list(ref) || list(before) AS evidence FROM most
            WHERE n = 1 GROUP BY task HAVING count(*) = 1""",
        wordings=(
            "What is the longest time, in days, between the starts of two consecutive encounters of class {class}?",
            "Order the {class} visits by start and find the widest gap from one start to the next, in days.",
            "For how many days at most did the patient go without beginning a {class} encounter, between the first and the last "
            "one?",
            "Consecutive {class} encounters, start to start: the largest number of days?",
        ),
        answer_note="Count calendar days between the two dates. Answer with type duration and the unit days.",
    ),
    Question(
        name="age_at_visit", code="D11", category="temporal", answer="integer", tables=("patient", "encounter"),
        hops=("Patient", "Encounter"), branches=("found",),
        candidates=_PLACES,
        truth=f"""{_RANKED} SELECT c.task, (left(c.t, 4)::INT - left(p.birth_date, 4)::INT
                    - CASE WHEN substr(c.t, 6, 5) < substr(p.birth_date, 6, 5) THEN 1 ELSE 0 END)::VARCHAR AS value, '' AS unit,
                [c.ref, p.ref] AS evidence, 'found' AS branch
            FROM asked a JOIN chosen c USING (task) JOIN seen_patient p ON p.task = a.task AND length(p.birth_date) = 10
            WHERE c.task IN (FROM clean) AND substr(p.birth_date, 6, 5) <> '02-29' AND left(c.t, 10) >= p.birth_date""",
        wordings=(
            "How old was the patient when the {place} encounter of class {class} began?",
            "Age in completed years on the first day of the {place} {class} visit?",
            "Take birthDate and the start of the {place} {class} encounter (ordered by start): how many full years lie between?",
            "At my {place} visit of class {class}, what age was I?",
        ),
        answer_note="Answer with type integer: completed years.",
    ),
)  # fmt: skip
