"""Wordings of ``record_blood_pressure``: clinical contexts ask for a valid Observation, compat the benchmark's form."""

from __future__ import annotations

from fhirtasks.tasks.wording import Wording

BLOOD_PRESSURE = (
    Wording(
        "I just took the blood pressure of {who}: {value}. Please file it.",
        "The reading was made at {now}; use that as effectiveDateTime. Find the patient first, because subject needs "
        "the server's own id. Create one Observation, status final, category vital-signs (system "
        "http://terminology.hl7.org/CodeSystem/observation-category), code {code} from {code_system}. Two components, "
        "same code system: {systolic_code} for systolic and {diastolic_code} for diastolic, each a valueQuantity in "
        "mmHg (UCUM mm[Hg]). Then finish with an empty list.",
        "Now: {now}. Send one Observation with status final; category is a list of one entry whose coding is a list "
        "of one: system http://hl7.org/fhir/observation-category, code vital-signs, display Vital Signs. code has "
        "only text, the flowsheet id {code}. effectiveDateTime is the time above, character by character, valueString "
        'is the reading as quoted with its unit, and subject is just {"reference": "Patient/<MRN>"}.',
        by_name=True,
    ),
    Wording(
        "Nursing round, vital signs: {who} has {value}. Enter this measurement into the chart.",
        "Chart entry wanted: an Observation resource that R4 accepts. What it is: LOINC-style coding {code_system} | "
        "{code}. When: {now}. Whose: reference by the identifier in the FHIR store, to be looked up. Numbers: "
        "component {systolic_code} carries the upper figure, component {diastolic_code} the lower one (coding system "
        "as before; valueQuantity, unit mmHg, UCUM code mm[Hg]). Mark it final and put it under vital-signs of "
        "http://terminology.hl7.org/CodeSystem/observation-category. Write once, answer [].",
        "Body to be written, exactly once, to Observation: resourceType Observation; status final; valueString equal "
        'to the measured text; effectiveDateTime {now}; code {"text": "{code}"}; category [{"coding": [{"system": '
        '"http://hl7.org/fhir/observation-category", "code": "vital-signs", "display": "Vital Signs"}]}]; subject '
        "naming Patient/ plus the record number, no further keys inside it.",
    ),
    Wording(
        "Could you document that a cuff on {who} showed {value}?",
        "Documentation rules of this server follow. Time of measurement equals the present, {now}. A panel coded "
        "{code} ({code_system}) groups both pressures; the parts use {systolic_code} and {diastolic_code} from that "
        "terminology, as quantities: unit mmHg, system http://unitsofmeasure.org, code mm[Hg]. Observations need "
        "status (final), a category coding (vital-signs, http://terminology.hl7.org/CodeSystem/observation-category), "
        "effectiveDateTime and a subject that points at the right Patient resource. No answer is expected, so close "
        "with [].",
        "At {now} (copy this into effectiveDateTime unchanged) the flowsheet row called {code} takes new data. Row "
        "names go to code.text without any coding. Text of the result belongs in valueString. Category: single "
        "coding, three keys: vital-signs as code, Vital Signs as display, http://hl7.org/fhir/observation-category "
        "as system. Only status final is allowed. Observation.subject.reference is Patient/ followed by the MRN.",
        by_name=True,
    ),
    Wording(
        "Home monitoring update from {who}, today's pressure: {value}. Save that, please.",
        "Saving means POSTing a single Observation and nothing more; afterwards give an empty array. Required: who it "
        "concerns (subject, by logical id), {now} under effectiveDateTime, final under status, "
        "http://terminology.hl7.org/CodeSystem/observation-category#vital-signs as category. The code element names "
        "{code} of {code_system}. Split the pair: first number to a component with {systolic_code}, second to one "
        "with {diastolic_code}, both from the identical system, both valueQuantity measured in mmHg, mm[Hg] in UCUM.",
        "Use this skeleton for the POST: category holds one coding (display Vital Signs, code vital-signs, system "
        "http://hl7.org/fhir/observation-category), code holds text {code}, valueString repeats what was reported, "
        "status says final, subject refers to Patient/<MRN>. Timestamp for effectiveDateTime: {now}, offset included. "
        "One Observation, no second attempt after success.",
    ),
    Wording(
        "Triage measured {value} on arrival. The person concerned is {who}. Add the result to the record.",
        "Arrival was {now}. Identity comes before writing: search, then reference the Patient you found. The record "
        "takes results as R4 Observations whose category is vital-signs in "
        "http://terminology.hl7.org/CodeSystem/observation-category and whose status reads final. Give "
        "effectiveDateTime that arrival time. Coding of the whole: {code}; of its components: {systolic_code} "
        "(systolic), {diastolic_code} (diastolic); vocabulary throughout: {code_system}. Component values are "
        "quantities with unit mmHg and UCUM mm[Hg]. End by returning [].",
        "Results enter through an Observation whose payload our interface checks literally. effectiveDateTime must "
        "read {now}. subject must contain a reference Patient/<MRN> and no display. There is one category with one "
        "coding: http://hl7.org/fhir/observation-category, vital-signs, Vital Signs (system, code, display). code is "
        "an object with text {code}. The figures stay together as valueString. status: final.",
        by_name=True,
    ),
    Wording(
        "Transcribe a handwritten note: {value}, belonging to {who}.",
        "The note carries the time {now}. Transcription target is exactly one new Observation (final). It shall have "
        "category coding vital-signs / http://terminology.hl7.org/CodeSystem/observation-category; code coding "
        "{code_system} / {code}; component codings {systolic_code} and {diastolic_code}, again {code_system}; "
        "component valueQuantity with value, unit mmHg, system http://unitsofmeasure.org and code mm[Hg]; "
        "effectiveDateTime from the note; subject Patient/ plus the resource id, which a search reveals. Reply: [].",
        "Please transcribe literally: valueString as on paper. Further keys and contents: resourceType (Observation), "
        "status (final), effectiveDateTime ({now}), code.text ({code}), subject.reference (Patient/ and the number), "
        "category[0].coding[0].system (http://hl7.org/fhir/observation-category), .code (vital-signs), .display "
        "(Vital Signs). Arrays in category have length one. After acceptance you are done.",
    ),
    Wording(
        "Before the medication can be released, {value} has to be on file as blood pressure for {who}. Take care of "
        "it.",
        "Pharmacy reads the file automatically and is strict: Observation.status final, Observation.category "
        "vital-signs (http://terminology.hl7.org/CodeSystem/observation-category), Observation.code {code} "
        "({code_system}), Observation.effectiveDateTime {now}, Observation.subject the patient's true server "
        "reference. It looks for systolic under component code {systolic_code} and diastolic under "
        "{diastolic_code}, in the vocabulary already mentioned, valueQuantity, mmHg with UCUM mm[Hg]. Duplicates "
        "block the release. Conclude with an empty list.",
        "The release check compares keys: status final; subject consisting of reference Patient/<MRN> alone; code "
        'consisting of text "{code}" alone; category being one element with one coding of system '
        "http://hl7.org/fhir/observation-category, code vital-signs and display Vital Signs; valueString identical to "
        "the reading; effectiveDateTime identical to {now}. It tolerates a single Observation POST.",
        by_name=True,
    ),
    Wording(
        "Post-op observation for {who}, just now: {value}. Log it as a vital sign.",
        "Just now is {now}. Logging needs the logical id behind that patient, so query for it. Then one POST: "
        'resourceType Observation, "status": "final", a vital-signs category from '
        "http://terminology.hl7.org/CodeSystem/observation-category, and {code} out of {code_system} for what was "
        "measured. Do not use a string value: systolic goes into a component ({systolic_code}), diastolic into "
        "another ({diastolic_code}), coded in the same system, unit mmHg, UCUM mm[Hg], as valueQuantity. Stamp "
        "effectiveDateTime accordingly. The final answer stays empty: [].",
        "Logging format: plain string value (valueString, wording of the measurement kept), text-only code ({code}), "
        "category list with Vital Signs / vital-signs / http://hl7.org/fhir/observation-category given as display, "
        "code, system of its lone coding, final status, {now} in effectiveDateTime, and for subject the reference "
        "built from Patient/ and the MRN. Make a single Observation of it.",
    ),
    Wording(
        "Occupational health visit: the arm reading for {who} came out at {value}; store it where clinicians will "
        "see it.",
        "Clinicians see Observations filed as vital-signs (category system "
        "http://terminology.hl7.org/CodeSystem/observation-category) once they are final. Required coding scheme: "
        "{code_system}. Panel {code}, with systolic pressure {systolic_code} plus diastolic pressure "
        "{diastolic_code} as component entries; amounts in valueQuantity, human unit mmHg, machine unit mm[Hg] "
        "(UCUM). Visit time for effectiveDateTime: {now}. Attach everything to the proper Patient through subject; "
        "you will have to discover its reference. Nothing to report afterwards, hence [].",
        "Where they look: Observation, flowsheet name {code} in code.text. How they filter: one category, one coding, "
        "code vital-signs, system http://hl7.org/fhir/observation-category, display Vital Signs; status final. What "
        "they read: valueString, for instance the measurement above verbatim. When: effectiveDateTime {now}. Whom: "
        "subject, a bare reference to Patient/<MRN>.",
        by_name=True,
    ),
)
"""Places: ``who``, ``value``, ``code``, ``code_system``, ``systolic_code``, ``diastolic_code``, ``now``."""
