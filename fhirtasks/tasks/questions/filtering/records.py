"""Whether something was ever recorded: a diagnosis, a procedure, an order, a vaccination, a visit."""

from __future__ import annotations

from fhirtasks.tasks.questions.others import WHOSE
from fhirtasks.tasks.questions.types import Question

_YEARS = "(VALUES (1), (3), (10)) s(years)"

# What the patient has, and what other patients have: of the latter mostly not.
_OWN_AND_FOREIGN = """SELECT DISTINCT p.patient, k.code, k.display AS label, p.year || '-01-01' AS t_from,
        (p.year::INT + years)::VARCHAR || '-01-01' AS t_to
    FROM (SELECT DISTINCT patient, left(t, 4) AS year FROM {table} WHERE t IS NOT NULL) p
    JOIN {whose} w ON w.patient = p.patient
    JOIN (SELECT patient AS owner, code, any_value(display) AS display FROM {table}
        WHERE code IS NOT NULL AND display IS NOT NULL GROUP BY ALL) k ON k.owner = w.owner, {years}"""

_EVER = """SELECT a.task, (count(x.ref) > 0)::VARCHAR AS value, '' AS unit, list(x.ref) FILTER (x.ref IS NOT NULL) AS evidence
    FROM asked a LEFT JOIN seen_{table} x ON x.task = a.task AND x.code = a.slots['code']
        AND x.t >= a.slots['t_from'] AND x.t < a.slots['t_to'] {more}
    GROUP BY a.task"""

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="ever_diagnosed", code="F02", category="filtering", answer="boolean", tables=("condition",),
        hops=("Condition", "Encounter"), branches=("true", "false"),
        candidates=_OWN_AND_FOREIGN.format(table="condition", years=_YEARS, whose=WHOSE),
        truth=_EVER.format(table="condition", more=""),
        wordings=(
            "Was the patient diagnosed with {label} (code {code}) from {t_from} until {t_to}?",
            "Code {code}, {label}: does any diagnosis of that kind fall on or after {t_from} and before {t_to}?",
            "Check the problem and diagnosis entries between {t_from} (included) and {t_to} (excluded) for {label} [{code}]. Is "
            "there one?",
            "Did I have {label} ({code}) written down as a diagnosis at any time starting {t_from} and ending before {t_to}?",
        ),
        answer_note=(
            "A Condition happened at its onset; without one, when it was recorded; without both, at the start of its encounter. "
            "Answer with type boolean."
        ),
    ),
    Question(
        name="procedure_in_window", code="F03", category="filtering", answer="boolean", tables=("procedure",),
        hops=("Procedure",), branches=("true", "false"),
        candidates=_OWN_AND_FOREIGN.format(table="procedure", years=_YEARS, whose=WHOSE),
        truth=_EVER.format(table="procedure", more=""),
        wordings=(
            "Did the patient undergo {label} (code {code}) from {t_from} until {t_to}?",
            "Procedures with code {code} ({label}): was at least one performed on or after {t_from} and before {t_to}?",
            "Between {t_from}, that day included, and {t_to}, that day excluded, is there a {label} [{code}] in the record?",
            "Yes or no: {label}, coded {code}, carried out in the window from {t_from} until {t_to}.",
        ),
        answer_note="A Procedure counts by when it was performed or began. Answer with type boolean.",
    ),
    Question(
        name="drugs_ordered", code="F04", category="filtering", answer="boolean", tables=("medication",),
        hops=("MedicationRequest", "Medication"), branches=("true", "false"),
        candidates=f"""SELECT DISTINCT p.patient, k.drug AS drug_one, o.drug AS drug_two, p.t || '-01-01' AS t_from,
                (p.t::INT + 1)::VARCHAR || '-01-01' AS t_to
            FROM (SELECT DISTINCT patient, left(t, 4) AS t FROM medication WHERE type = 'MedicationRequest' AND t IS NOT NULL) p
            JOIN {WHOSE} w ON w.patient = p.patient
            JOIN (SELECT DISTINCT patient AS owner, drug FROM medication WHERE type = 'MedicationRequest') k
                ON k.owner = w.owner
            JOIN (SELECT DISTINCT drug FROM medication WHERE type = 'MedicationRequest') o
                ON o.drug <> k.drug AND md5(o.drug)[1] = md5(k.drug || p.patient || p.t)[1]
                AND md5(k.drug || o.drug)[1] < '8'""",
        truth="""SELECT a.task, (count(x.ref) > 0)::VARCHAR AS value, '' AS unit,
                list(x.ref) FILTER (x.ref IS NOT NULL) AS evidence
            FROM asked a LEFT JOIN seen_medication x ON x.task = a.task AND x.type = 'MedicationRequest'
                AND lower(x.drug) IN (lower(a.slots['drug_one']), lower(a.slots['drug_two']))
                AND x.t >= a.slots['t_from'] AND x.t < a.slots['t_to']
            GROUP BY a.task""",
        wordings=(
            "Was {drug_one} or {drug_two} ordered from {t_from} until {t_to}?",
            "Is there any prescription of {drug_one}, or of {drug_two}, written on or after {t_from} and before {t_to}?",
            "Look for orders of either drug, {drug_one} and {drug_two}, in the window from {t_from} until {t_to}. Did one occur?",
            "I want to know whether between {t_from} (included) and {t_to} (excluded) somebody prescribed {drug_one} or else "
            "{drug_two}.",
        ),
        answer_note=(
            "A drug goes by its full name as the record has it, upper and lower case alike; a mixture by the names of its "
            "ingredients joined with ' + '. Answer with type boolean."
        ),
    ),
    Question(
        name="vaccinated", code="F07", category="filtering", answer="list", tables=("immunization",),
        hops=("Immunization",), branches=("some", "empty"),
        candidates=_OWN_AND_FOREIGN.format(table="immunization", years=_YEARS, whose=WHOSE),
        truth="""SELECT a.task, coalesce(to_json(list(left(x.t, 10) ORDER BY x.t) FILTER (x.ref IS NOT NULL)), '[]')::VARCHAR
                AS value, '' AS unit, list(x.ref) FILTER (x.ref IS NOT NULL) AS evidence,
                CASE WHEN count(x.ref) > 0 THEN 'some' ELSE 'empty' END AS branch
            FROM asked a LEFT JOIN seen_immunization x ON x.task = a.task AND x.code = a.slots['code']
                AND x.status = 'completed' AND x.t >= a.slots['t_from'] AND x.t < a.slots['t_to']
            GROUP BY a.task""",
        wordings=(
            "On which dates was {label} (vaccine code {code}) given from {t_from} until {t_to}?",
            "List the days, in order, on which the patient received vaccine {code}, {label}, on or after {t_from} and before "
            "{t_to}.",
            "Completed vaccinations coded {code} ({label}) in the window from {t_from} until {t_to}: their dates, oldest first.",
            "When did I get {label} [{code}]? Only count shots between {t_from} (included) and {t_to} (excluded).",
        ),
        answer_note="Answer with type list: the dates as YYYY-MM-DD, the earliest first; [] if there was none.",
    ),
    Question(
        name="visited_emergency", code="F11", category="filtering", answer="boolean", tables=("encounter",),
        hops=("Encounter",), branches=("true", "false"),
        candidates="""SELECT c.patient, class, left(t, 4) || '-01-01' AS t_from,
                (left(t, 4)::INT + years)::VARCHAR || '-01-01' AS t_to
            FROM (SELECT DISTINCT class FROM encounter WHERE class IS NOT NULL),
                (SELECT DISTINCT patient, left(t, 4) AS t FROM encounter WHERE t IS NOT NULL) c, (VALUES (1), (2)) s(years)""",
        truth="""SELECT a.task, (count(x.ref) > 0)::VARCHAR AS value, '' AS unit,
                list(x.ref) FILTER (x.ref IS NOT NULL) AS evidence
            FROM asked a LEFT JOIN seen_encounter x ON x.task = a.task AND x.class = a.slots['class']
                AND x.t >= a.slots['t_from'] AND x.t < a.slots['t_to']
            GROUP BY a.task""",
        wordings=(
            "Did an encounter of class {class} begin from {t_from} until {t_to}?",
            "Has this patient been seen as {class} (Encounter.class) on or after {t_from} and before {t_to}?",
            "Was there a visit with the class code {class} that started in the window from {t_from} until {t_to}?",
            "Any {class} encounter between {t_from}, included, and {t_to}, excluded? Judge by its start.",
        ),
        answer_note="Answer with type boolean.",
    ),
)  # fmt: skip
