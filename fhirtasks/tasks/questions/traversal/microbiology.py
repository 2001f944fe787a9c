"""From a specimen to its culture, the organisms that grew, and the antibiotics that these resist."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

# What resists is coded R: HL7 v3 ObservationInterpretation, as a result's value or as its interpretation.
_RESISTS = "(s.value_code = 'R' OR s.interpretation = 'R')"

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="organisms_in_culture", code="T04", category="traversal", answer="set", tables=("specimen", "member"),
        hops=("Specimen", "Observation", "Observation"), branches=("some", "empty"),
        candidates="""SELECT o.patient, o.code, min(o.display) AS label, s.code AS material, min(s.display) AS specimen, place
            FROM observation o JOIN specimen s ON s.patient = o.patient AND s.id = o.specimen,
                (VALUES ('first'), ('second'), ('last')) p(place)
            WHERE o.code IN (SELECT code FROM observation WHERE len(members) > 0 AND specimen IS NOT NULL)
                AND s.code IS NOT NULL AND o.display IS NOT NULL AND length(o.t) >= 10
            GROUP BY o.patient, o.code, s.code, place""",
        truth="""WITH ranked AS (SELECT a.task, a.slots['place'] AS place, o.id, o.ref, s.ref AS specimen,
                    rank() OVER (PARTITION BY a.task ORDER BY o.t) AS up,
                    rank() OVER (PARTITION BY a.task ORDER BY o.t DESC) AS down,
                    count(*) OVER (PARTITION BY a.task, o.t) AS together
                FROM asked a JOIN seen_observation o ON o.task = a.task AND o.code = a.slots['code'] AND o.t IS NOT NULL
                JOIN seen_specimen s ON s.task = a.task AND s.id = o.specimen AND s.code = a.slots['material']),
            one AS (SELECT * FROM ranked WHERE together = 1
                AND CASE place WHEN 'first' THEN up = 1 WHEN 'second' THEN up = 2 ELSE down = 1 END),
            grown AS (SELECT m.task, m.id, o.ref, o.display FROM seen_member m JOIN seen_observation o
                ON o.task = m.task AND o.id = m.member AND o.display IS NOT NULL)
            SELECT one.task, coalesce(to_json(list(DISTINCT g.display ORDER BY g.display) FILTER (g.ref IS NOT NULL)),
                    '[]')::VARCHAR AS value, '' AS unit,
                list_concat([any_value(one.ref), any_value(one.specimen)], list(g.ref) FILTER (g.ref IS NOT NULL)) AS evidence,
                CASE WHEN count(g.ref) > 0 THEN 'some' ELSE 'empty' END AS branch
            FROM one LEFT JOIN grown g ON g.task = one.task AND g.id = one.id GROUP BY one.task""",
        wordings=(
            "Which organisms grew in the {place} {label} (test {code}) on a specimen of type {material}, {specimen}?",
            "Go from Specimens coded {material} ({specimen}) to their Observations coded {code} ({label}); what are the members "
            "of the {place} one?",
            "What was isolated from my {specimen} [{material}] in {label} [{code}], counting only the {place} such culture?",
            "{specimen}, type {material}: name everything that hasMember of its {place} {code} result, {label}, points at.",
        ),
        answer_note=(
            "Results with the code on such a specimen go by effective time; an organism goes by the display of its Observation's "
            "code. Answer with type set: the organisms, each once; [] if none grew."
        ),
    ),
    Question(
        name="resisted_antibiotics", code="T05", category="traversal", answer="set", tables=("member",),
        hops=("Observation", "Observation", "Observation"), branches=("some", "empty"),
        candidates="""SELECT o.patient, o.code, min(o.display) AS label, place
            FROM observation o, (VALUES ('first'), ('second'), ('last')) p(place)
            WHERE len(o.members) > 0 AND o.id IN (SELECT member FROM member) AND o.display IS NOT NULL AND length(o.t) >= 10
            GROUP BY o.patient, o.code, place""",
        truth=f"""WITH tested AS (SELECT m.task, m.id, s.ref, s.display, {_RESISTS} IS TRUE AS resists FROM seen_member m
                JOIN seen_observation s ON s.task = m.task AND s.id = m.member AND s.display IS NOT NULL),
            ranked AS (SELECT a.task, a.slots['place'] AS place, o.id, o.ref,
                    rank() OVER (PARTITION BY a.task ORDER BY o.t) AS up,
                    rank() OVER (PARTITION BY a.task ORDER BY o.t DESC) AS down,
                    count(*) OVER (PARTITION BY a.task, o.t) AS together
                FROM asked a JOIN seen_observation o ON o.task = a.task AND o.code = a.slots['code'] AND o.t IS NOT NULL
                    AND len(o.members) > 0),
            one AS (SELECT * FROM ranked WHERE together = 1
                AND CASE place WHEN 'first' THEN up = 1 WHEN 'second' THEN up = 2 ELSE down = 1 END)
            SELECT one.task, coalesce(to_json(list(DISTINCT t.display ORDER BY t.display) FILTER (t.resists)), '[]')::VARCHAR
                AS value, '' AS unit, list_concat([any_value(one.ref)], list(t.ref)) AS evidence,
                CASE WHEN count_if(t.resists) > 0 THEN 'some' ELSE 'empty' END AS branch
            FROM one JOIN tested t ON t.task = one.task AND t.id = one.id GROUP BY one.task""",
        wordings=(
            "To which antibiotics was the {place} {label} (code {code}) isolate resistant?",
            "Take the {place} Observation coded {code}, {label}, that has members, and list those of them that say resistant.",
            "{label} [{code}] was found; which drugs did it withstand, the {place} time that it was tested?",
            "Susceptibility of the {place} {code} ({label}): name the agents reported as R.",
        ),
        answer_note=(
            "Only findings of the organism that have members count; they go by effective time. Resistant is R as coded value or as "
            "interpretation. An antibiotic goes by the display of its Observation's code. Answer with type set: the antibiotics, "
            "each once; [] if none is resisted."
        ),
    ),
)  # fmt: skip
