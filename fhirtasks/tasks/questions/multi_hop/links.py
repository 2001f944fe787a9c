"""Records that are linked: organisms to orders, diagnoses to routes, people to their encounters, conditions to orders."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

# A practitioner or organization by reference: by id, or by the identifier of a conditional reference.
_NAMED = """SELECT e.reference, x.id, x.name FROM (SELECT DISTINCT {column} AS reference FROM encounter) e
        JOIN {table} x ON x.id = regexp_extract(e.reference, '([^/:]+)$', 1)
    UNION SELECT e.reference, x.id, x.name FROM (SELECT DISTINCT {column} AS reference FROM encounter) e
        JOIN {table} x ON x.identifier = split_part(e.reference, '?identifier=', 2)"""

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="resisted_drug_ordered", version="2", code="H01", category="multi_hop", answer="boolean",
        tables=("member", "medication"),
        hops=("Observation", "Observation", "Observation", "MedicationRequest", "Medication"), branches=("true", "false"),
        needs="Observation of an antibiotic with the value R",
        candidates="""SELECT g.patient, g.code, min(g.display) AS label, place, span
            FROM member m JOIN observation g ON g.id = m.member JOIN observation t ON t.id = m.id,
                (VALUES ('first'), ('last')) p(place), (VALUES ('before'), ('after'), ('before or after')) s(span)
            WHERE len(g.members) > 0 AND t.encounter <> '' AND g.code IS NOT NULL AND g.display IS NOT NULL
            GROUP BY g.patient, g.code, place, span""",
        truth="""WITH grown AS (SELECT a.task, g.ref, g.id, g.t, t.ref AS test, t.encounter, rank() OVER (PARTITION BY a.task
                    ORDER BY CASE a.slots['place'] WHEN 'first' THEN g.t END,
                    CASE a.slots['place'] WHEN 'last' THEN g.t END DESC) AS n
                FROM asked a JOIN seen_observation g ON g.task = a.task AND g.code = a.slots['code'] AND g.t IS NOT NULL
                JOIN seen_member m ON m.task = a.task AND m.member = g.id
                JOIN seen_observation t ON t.task = a.task AND t.id = m.id AND t.encounter <> ''),
            one AS (SELECT task, any_value(t) AS t, any_value(encounter) AS encounter, list(id) AS ids,
                    list(ref) || list(test) AS refs
                FROM grown WHERE n = 1 GROUP BY task HAVING count(DISTINCT encounter) = 1 AND length(any_value(t)) = 19),
            resisted AS (SELECT o.task, s.slots['span'] AS span, s.ref, lower(s.display) AS drug
                FROM one o JOIN seen_member m ON m.task = o.task AND list_contains(o.ids, m.id)
                JOIN seen_observation s ON s.task = o.task AND s.id = m.member AND s.display IS NOT NULL
                    AND (s.value_code = 'R' OR s.interpretation = 'R')),
            ordered AS (SELECT r.task, list(r.ref) || list(m.ref) AS refs FROM resisted r JOIN one o ON o.task = r.task
                JOIN seen_medication m ON m.task = r.task AND m.type = 'MedicationRequest' AND m.encounter = o.encounter
                    AND m.drug IS NOT NULL AND CASE r.span WHEN 'before' THEN m.t < o.t WHEN 'after' THEN m.t >= o.t
                        ELSE m.t IS NOT NULL END
                    AND len(list_filter(string_split(r.drug, '/'), lambda x: NOT contains(lower(m.drug), trim(x)))) = 0
                GROUP BY r.task)
            SELECT o.task, (d.refs IS NOT NULL)::VARCHAR AS value, '' AS unit,
                o.refs || coalesce(d.refs, (SELECT list(ref) FROM resisted r WHERE r.task = o.task), []) AS evidence,
                CASE WHEN o.task IN (SELECT task FROM resisted) THEN ['MedicationRequest'] END AS lacks
            FROM one o LEFT JOIN ordered d ON d.task = o.task
            WHERE EXISTS (SELECT 1 FROM seen_member m WHERE m.task = o.task AND list_contains(o.ids, m.id))""",
        wordings=(
            "Was any drug that {label} (code {code}) resisted ordered {span} it grew for the {place} time, in that visit?",
            "Take the {place} Observation coded {code}, {label}, its members with the result R and the encounter of the test that "
            "lists it. Does a MedicationRequest of this encounter, {span} that finding, name one of those antibiotics?",
            "Yes or no: {span} the {place} culture with {label} [{code}], within its encounter, an antibiotic to which the "
            "organism proved resistant has been prescribed.",
            "My {place} {code} ({label}): did the doctors, {span} its discovery and during the same stay, have me take something "
            "against which it was tested resistant?",
        ),
        answer_note=(
            "The test is the Observation that has the organism among its members and names an encounter; the organism's members "
            "are the antibiotics, resisted where the value or the interpretation is coded R. Orders count that refer to that "
            "encounter: before means authored earlier than the organism's time, after at that time or later. An order is for an "
            "antibiotic if the name of its drug contains every part, separated by '/', of the display of the antibiotic's code, "
            "upper and lower case alike. Answer with type boolean."
        ),
    ),
    Question(
        name="routes_in_visit_of_diagnosis", code="H03", category="multi_hop", answer="map", tables=("condition", "medication"),
        version="2", hops=("Condition", "Encounter", "MedicationRequest", "Medication"), branches=("found", "none"),
        lacks=("MedicationRequest",), needs="MedicationRequest.dosageInstruction.route",
        candidates="""SELECT c.patient, c.code, min(c.display) AS label, s.status
            FROM condition c, (SELECT DISTINCT status FROM medication WHERE type = 'MedicationRequest' AND route IS NOT NULL) s
            WHERE c.code IS NOT NULL AND c.display IS NOT NULL AND c.encounter <> ''
            GROUP BY c.patient, c.code, s.status HAVING count(DISTINCT c.encounter) = 1""",
        truth="""WITH visit AS (SELECT a.task, a.slots['status'] AS status, min(c.encounter) AS encounter, list(c.ref) AS refs
                FROM asked a JOIN seen_condition c ON c.task = a.task AND c.code = a.slots['code'] AND c.encounter <> ''
                GROUP BY a.task, a.slots HAVING count(DISTINCT c.encounter) = 1),
            taken AS (SELECT v.task, lower(m.drug) AS drug, list(DISTINCT m.route ORDER BY m.route) AS routes, list(m.ref) AS refs
                FROM visit v JOIN seen_medication m ON m.task = v.task AND m.type = 'MedicationRequest'
                    AND m.encounter = v.encounter AND m.status = v.status AND m.route IS NOT NULL AND m.drug IS NOT NULL
                GROUP BY v.task, lower(m.drug))
            SELECT v.task, CASE WHEN count(t.drug) > 0 THEN to_json(map_from_entries(list((t.drug, t.routes) ORDER BY t.drug)))
                    ::VARCHAR END AS value, '' AS unit,
                CASE WHEN count(t.drug) > 0 THEN any_value(v.refs) || flatten(list(t.refs)) END AS evidence
            FROM visit v LEFT JOIN taken t ON t.task = v.task GROUP BY v.task HAVING count(t.drug) <= 15""",
        wordings=(
            "Which drugs, by which routes, stand in the orders, now {status}, of the visit in which {label} (code {code}) was "
            "diagnosed?",
            "Follow the Condition coded {code}, {label}, to its encounter. Of all MedicationRequests with status {status} that "
            "refer to it, give each medication and how it is to be administered.",
            "Visit with the diagnosis {label} [{code}]: table of medicine against route for its prescriptions, those in status "
            "{status} only.",
            "When I was found to have {code} ({label}), what was I prescribed in that encounter and in what way was I to take it? "
            "Count an order only if it says {status}.",
        ),
        answer_note=(
            "The route is that of an order's first dosage instruction: its first code, else its text; orders without one do not "
            "count. A drug goes by its full name as the record has it, in lower case; a mixture by the names of its ingredients "
            "joined with ' + '. Answer with type map: each drug and the list of its routes, each once; with none where there is no "
            "such order."
        ),
    ),
    Question(
        name="busiest_practitioner", code="H09", category="multi_hop", answer="record",
        tables=("encounter", "practitioner", "organization"), hops=("Encounter", "Practitioner", "Organization"),
        branches=("found", "none"),
        needs="Encounter.participant and Encounter.serviceProvider",
        candidates="""SELECT DISTINCT patient, (left(t, 4)::INT - shift)::VARCHAR || '-01-01' AS t_from,
                (left(t, 4)::INT - shift + years)::VARCHAR || '-01-01' AS t_to
            FROM encounter, (VALUES (1, 0), (3, 0), (3, 1), (10, 0), (10, 4), (2, 40)) w(years, shift)
            WHERE practitioner IS NOT NULL AND provider IS NOT NULL AND length(t) = 19""",
        truth=f"""WITH person AS ({_NAMED.format(column="practitioner", table="practitioner")}),
            house AS ({_NAMED.format(column="provider", table="organization")}),
            met AS (SELECT a.task, e.ref, e.t, p.id AS person, p.name, h.id AS house, h.name AS house_name
                FROM asked a JOIN seen_encounter e ON e.task = a.task AND e.t >= a.slots['t_from'] AND e.t < a.slots['t_to']
                JOIN person p ON p.reference = e.practitioner LEFT JOIN house h ON h.reference = e.provider),
            counted AS (SELECT task, person, any_value(name) AS name, count(*) AS n, max(t) AS t, list(ref) AS refs
                FROM met GROUP BY task, person),
            ranked AS (SELECT *, rank() OVER (PARTITION BY task ORDER BY n DESC) AS place FROM counted),
            most AS (SELECT * FROM ranked WHERE place = 1 QUALIFY count(*) OVER (PARTITION BY task) = 1),
            latest AS (SELECT b.task, any_value(m.house) AS house, any_value(m.house_name) AS house_name FROM most b
                JOIN met m ON m.task = b.task AND m.person = b.person AND m.t = b.t
                GROUP BY b.task HAVING count(m.house_name) = count(*) AND count(DISTINCT m.house) = 1)
            SELECT a.task, CASE WHEN b.task IS NOT NULL THEN json_object('practitioner', b.name, 'encounters', b.n,
                    'organization', l.house_name)::VARCHAR END AS value, '' AS unit,
                b.refs || ['Practitioner/' || b.person, 'Organization/' || l.house] AS evidence
            FROM asked a LEFT JOIN most b ON b.task = a.task LEFT JOIN latest l ON l.task = a.task
            WHERE (b.n >= 2 AND l.task IS NOT NULL) OR a.task NOT IN (SELECT task FROM met)""",
        wordings=(
            "Who saw the patient most often from {t_from} until {t_to}, in how many encounters, and for which organization last?",
            "Count the encounters that began on or after {t_from} and before {t_to} by their practitioner. Report the one with the "
            "greatest count, the count itself, and the service provider of the latest of those visits.",
            "Which doctor did I meet the most in the window from {t_from} until {t_to}? I need name, number of times, and where "
            "the most recent of these took place, by organization.",
            "Between {t_from} (included) and {t_to} (excluded): the clinician with more visits of this patient than any other, "
            "together with that total and the provider that stands on their newest encounter.",
        ),
        answer_note=(
            "An encounter counts for the practitioner that its first participant refers to, and is dated by period.start. Answer "
            "with type record and the keys practitioner (first given name, blank, family name, as the Practitioner resource has "
            "them), encounters (the number) and organization (the name of the Organization that is serviceProvider), or with none "
            "where no encounter of the window has a practitioner."
        ),
    ),
    Question(
        name="conditions_without_order", code="H10", category="multi_hop", answer="set", tables=("condition", "cited_reason"),
        version="2", hops=("Condition", "MedicationRequest", "Condition"), lacks=("MedicationRequest",), branches=("some", "empty"),
        needs="Condition.clinicalStatus",
        candidates="""SELECT DISTINCT patient, (left(t_own, 4)::INT - back)::VARCHAR || '-01-01' AS t_from,
                (left(t_own, 4)::INT - back + years)::VARCHAR || '-01-01' AS t_to
            FROM condition, (VALUES (1, 0), (2, 0), (2, 1), (5, 2), (20, 10)) w(years, back)
            WHERE clinical_status = 'active' AND code IS NOT NULL AND t_own IS NOT NULL""",
        truth="""WITH present AS (SELECT a.task, c.id, c.ref, c.code FROM asked a JOIN seen_condition c ON c.task = a.task
                    AND c.clinical_status = 'active' AND c.code IS NOT NULL AND c.t_own >= a.slots['t_from']
                    AND c.t_own < a.slots['t_to']),
            cited AS (SELECT p.task, p.id, list(r.ref) AS orders FROM present p JOIN seen_cited_reason r ON r.task = p.task
                AND r.status = 'active' AND r.condition = p.id GROUP BY p.task, p.id)
            SELECT p.task, coalesce(to_json(list(DISTINCT p.code ORDER BY p.code) FILTER (c.id IS NULL)), '[]')::VARCHAR AS value,
                '' AS unit, coalesce(list(p.ref) FILTER (c.id IS NULL), flatten(list(c.orders))) AS evidence,
                CASE WHEN count(*) FILTER (c.id IS NULL) > 0 THEN 'some' ELSE 'empty' END AS branch
            FROM present p LEFT JOIN cited c ON c.task = p.task AND c.id = p.id GROUP BY p.task""",
        wordings=(
            "Which active conditions from {t_from} until {t_to} have no active medication order that cites them?",
            "Collect the Conditions with clinical status active, dated on or after {t_from} and before {t_to}; drop those that are "
            "the reasonReference of a MedicationRequest whose status is active. Which codes remain?",
            "Untreated problems, going by the orders' reasons: what began in the window from {t_from} until {t_to}, is still "
            "active and is named by nothing that is currently prescribed?",
            "For which of my present diagnoses, those dated between {t_from} (included) and {t_to} (excluded), is there no running "
            "prescription written because of it?",
        ),
        answer_note=(
            "A condition is dated by its onset, else by its recorded date; it is cited where any reasonReference of an order "
            "points at it. Answer with type set: the codes, each once; [] if there are none."
        ),
    ),
)  # fmt: skip
