"""From a visit to who did what, from orders to administrations and reasons, from care plans to what they address."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

# A visit is named by its class and the moment it began, which must be its alone.
_VISITS = """SELECT patient, class, start FROM (SELECT patient, class, t AS start, any_value(id) AS id,
        any_value(practitioner) AS practitioner FROM encounter WHERE class IS NOT NULL AND length(t) = 19
        GROUP BY patient, class, t HAVING count(*) = 1) WHERE {more}"""
_VISIT = "seen_encounter e ON e.task = a.task AND e.class = a.slots['class'] AND e.t = a.slots['start']"

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="procedures_and_performers", code="T09", category="traversal", answer="map",
        tables=("procedure", "encounter", "practitioner"), hops=("Encounter", "Procedure", "Practitioner"), branches=("found",),
        candidates=_VISITS.format(more="""id IN (SELECT encounter FROM procedure WHERE code IS NOT NULL
            AND coalesce(performer, 'Practitioner') LIKE '%Practitioner%') AND practitioner IS NOT NULL"""),
        truth=f"""WITH done AS (SELECT a.task, e.ref AS visit, p.ref, p.code, coalesce(p.performer, e.practitioner) AS who
                FROM asked a JOIN {_VISIT} JOIN seen_procedure p ON p.task = a.task AND p.encounter = e.id AND p.code IS NOT NULL),
            named AS (SELECT d.*, w.name FROM done d LEFT JOIN practitioner w
                ON w.id = regexp_extract(d.who, '([^/:]+)$', 1)
                OR (contains(d.who, '?identifier=') AND w.identifier = split_part(d.who, '?identifier=', 2))),
            coded AS (SELECT task, code, list(DISTINCT name ORDER BY name) AS names, list(ref) AS refs, any_value(visit) AS visit,
                count(*) = count(name) AS known FROM named GROUP BY task, code)
            SELECT task, to_json(map_from_entries(list((code, names) ORDER BY code)))::VARCHAR AS value, '' AS unit,
                list_append(flatten(list(refs)), any_value(visit)) AS evidence
            FROM coded GROUP BY task HAVING bool_and(known) AND count(*) <= 12""",
        wordings=(
            "What was done in the {class} encounter that began at {start}, and by whom?",
            "Pair each procedure code of the {class} visit with period.start {start} with the names of those who performed it.",
            "List the Procedures that refer to the encounter of class {class}, start {start}, each beside its practitioner.",
            "Who carried out which procedure on me at the {class} visit of {start}?",
        ),
        answer_note=(
            "The performer is the Procedure's first performer, or where it names none the first participant of the encounter. "
            "Answer with type map: procedure code and list of names (first given name, blank, family name, as the Practitioner "
            "resource has them)."
        ),
    ),
    Question(
        name="ordered_never_given", code="T11", category="traversal", answer="set",
        tables=("medication", "administration", "encounter"),
        hops=("MedicationAdministration", "MedicationRequest", "Medication"), branches=("found",),
        candidates=_VISITS.format(more="""id IN (SELECT m.encounter FROM medication m
            JOIN administration g ON g.patient = m.patient AND g.request = m.id WHERE m.type = 'MedicationRequest')"""),
        truth=f"""WITH given AS (SELECT task, request, list(ref) AS refs FROM seen_administration GROUP BY task, request),
            ordered AS (SELECT a.task, e.ref AS visit, lower(m.drug) AS drug, list(m.ref) AS refs, flatten(list(g.refs)) AS given
                FROM asked a JOIN {_VISIT} JOIN seen_medication m ON m.task = a.task AND m.type = 'MedicationRequest'
                    AND m.encounter = e.id AND m.drug IS NOT NULL
                LEFT JOIN given g ON g.task = a.task AND g.request = m.id GROUP BY ALL)
            SELECT task, to_json(list(drug ORDER BY drug) FILTER (coalesce(len(given), 0) = 0))::VARCHAR AS value, '' AS unit,
                list_concat(flatten(list(refs) FILTER (coalesce(len(given), 0) = 0)), flatten(list(given) FILTER (len(given) > 0)))
                    AS evidence
            FROM ordered GROUP BY task
            HAVING count_if(len(given) > 0) > 0 AND count_if(coalesce(len(given), 0) = 0) BETWEEN 1 AND 30""",
        wordings=(
            "Which drugs were ordered in the {class} encounter that began at {start} but never administered?",
            "Compare the MedicationRequests of the {class} visit with period.start {start} with the MedicationAdministrations "
            "whose request names them: what was never given?",
            "During the {class} stay starting {start}, what medicines did the patient have prescribed yet not receive once?",
            "Prescribed for encounter {class}, {start}; no administration on record. List them.",
        ),
        answer_note=(
            "An order was given if the request of some MedicationAdministration refers to it; a drug belongs to the answer if none "
            "of its orders in that encounter was given. A drug goes by its full name as the record has it, upper and lower case "
            "alike; a mixture by the names of its ingredients joined with ' + '. Answer with type set: the names in lower case, "
            "each once."
        ),
    ),
    Question(
        name="reason_of_order", code="T12", category="traversal", answer="code", tables=("order_reason", "condition"),
        hops=("MedicationRequest", "Condition"), branches=("found",),
        candidates="""SELECT DISTINCT patient, lower(drug) AS drug, left(t, 10) AS day FROM order_reason
            WHERE drug IS NOT NULL AND length(t) >= 10""",
        truth="""SELECT a.task, to_json(any_value(c.code))::VARCHAR AS value, '' AS unit, list(o.ref) || list(c.ref) AS evidence
            FROM asked a JOIN seen_order_reason o ON o.task = a.task AND lower(o.drug) = a.slots['drug']
                AND left(o.t, 10) = a.slots['day']
            JOIN seen_condition c ON c.task = a.task AND c.id = o.reason AND c.code IS NOT NULL
            GROUP BY a.task HAVING count(DISTINCT c.code) = 1""",
        wordings=(
            "For what condition was {drug} ordered on {day}?",
            "Follow reasonReference of the MedicationRequest for {drug} authored {day}: which Condition code is at its end?",
            "Why did the patient get a prescription of {drug} dated {day}? Give the diagnosis.",
            "{day}, {drug}: the indication, as a code, please.",
        ),
        answer_note=(
            "The drug is named as the order has it, upper and lower case alike; its first reasonReference counts. Answer with type "
            "code: the Condition's code alone, without its system."
        ),
    ),
    Question(
        name="care_plan_addresses", version="2", code="T14", category="traversal", answer="set", tables=("care_plan",),
        hops=("CarePlan", "Condition", "Goal"), branches=("some", "empty"),
        candidates="""SELECT patient, code, min(display) AS label, what FROM care_plan, (VALUES ('conditions'), ('goals')) w(what)
            WHERE status = 'active' AND code IS NOT NULL AND display IS NOT NULL GROUP BY patient, code, what""",
        truth="""WITH plan AS (SELECT a.task, p.ref, unnest(list_append(CASE a.slots['what'] WHEN 'goals' THEN p.goals
                    ELSE p.addresses END, '')) AS target, a.slots['what'] AS what
                FROM asked a JOIN seen_care_plan p ON p.task = a.task AND p.status = 'active' AND p.code = a.slots['code']),
            target AS (SELECT task, 'conditions' AS what, id, ref, code AS name FROM seen_condition WHERE code IS NOT NULL
                UNION ALL SELECT task, 'goals', id, ref, description FROM seen_goal WHERE description IS NOT NULL)
            SELECT p.task, coalesce(to_json(list(DISTINCT t.name ORDER BY t.name) FILTER (t.ref IS NOT NULL)), '[]')::VARCHAR
                AS value, '' AS unit, list_concat(list(DISTINCT p.ref), list(t.ref) FILTER (t.ref IS NOT NULL)) AS evidence,
                CASE WHEN count(t.ref) > 0 THEN 'some' ELSE 'empty' END AS branch,
                CASE WHEN bool_or(p.target <> '') THEN [CASE any_value(p.what) WHEN 'goals' THEN 'Goal' ELSE 'Condition' END] END
                AS lacks
            FROM plan p LEFT JOIN target t ON t.task = p.task AND t.what = p.what
                AND t.id = regexp_extract(p.target, '([^/:]+)$', 1)
            GROUP BY p.task""",
        wordings=(
            "Which {what} does the active care plan {label} (category {code}) address or pursue?",
            "Open every CarePlan with status active and category {code}, {label}, and list its {what}.",
            "What {what} are behind my current {label} [{code}] plan?",
            "{label}, category {code}, still active: follow its references and name the {what} they lead to.",
        ),
        answer_note=(
            "The category is the first one of the plan. Conditions are those in addresses, by their codes; goals are those in "
            "goal, by the text of their description. Answer with type set: each once; [] if there is none."
        ),
    ),
)  # fmt: skip
