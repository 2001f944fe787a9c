"""Wordings of ``referral_order``: clinical contexts state a valid R4 ServiceRequest, compat the benchmark's shape."""

from __future__ import annotations

from fhirtasks.tasks.wording import Wording

REFERRAL = (
    Wording(
        "Refer {who} to {specialty}. The note on the referral has to read, word for word:\n{text}",
        "It is {now}, which is also authoredOn. Create one ServiceRequest: status active, intent order, priority "
        "{priority}, category 3457005 (http://snomed.info/sct, Patient referral), code {order_code} from "
        "{order_system}, subject the patient's reference on this server, note a list with one entry whose text is "
        "that passage. Finish with an empty list.",
        "Time: {now}. One ServiceRequest is needed. Its code.coding starts with system {order_system}, code "
        "{order_code}; authoredOn repeats the time; status active; intent order; priority {priority}; note is an "
        'object, {"text": …}, not a list; subject is {"reference": "Patient/<MRN>"} and nothing else.',
        by_name=True,
    ),
    Wording(
        "Have {who} seen by {specialty}. Place the order and attach this message unchanged:\n\n{text}",
        "Orders live in ServiceRequest. For this one: authoredOn {now}; {priority} as priority; {order_system} | "
        "{order_code} as the coded service; http://snomed.info/sct | 3457005 as category; status active "
        "and intent order. The message goes into note[0].text. Whose order it is must be resolved by "
        "a search, since subject takes the resource id. One POST, then answer [].",
        "The interface behind ServiceRequest wants note as a single object holding text, subject with a lone key "
        "reference (Patient/ plus MRN), intent order, status active. Service: {order_code}, {order_system}, as "
        "first coding of code. Urgency: {priority}, under priority. Signed at {now}, under authoredOn, letter by "
        "letter.",
    ),
    Wording(
        "Please write to {specialty} on behalf of {who}. Text of the letter, between the marks: «{text}»",
        "A letter here is a POST to ServiceRequest with these elements. code: {order_code} in {order_system}. "
        "category: SNOMED CT (http://snomed.info/sct) 3457005. note: array of one annotation carrying the text "
        "without the marks. priority: {priority}. intent: order. status: active. authoredOn: {now}. subject: "
        "Patient/ and the logical id, found beforehand. Return an empty array at the end.",
        "Letters are transmitted as ServiceRequest. Put what stands between the marks into note.text (note being "
        "one JSON object). Further: priority {priority}, authoredOn {now} with its offset, subject.reference "
        "Patient/<MRN>, code.coding[0] = system {order_system} + code {order_code}. The request is active and its "
        "intent is order.",
        by_name=True,
    ),
    Wording(
        'We want an opinion from {specialty}. Patient: {who}. Free text, quote exactly: "{text}"',
        "Requests for an opinion become a ServiceRequest (active; an order). State when it was authored, {now}, how "
        "fast it is needed, {priority}, and what is requested, code {order_code} of {order_system}, filed under the "
        "category for patient referrals, 3457005 of http://snomed.info/sct. Everything between the outer quotation "
        "marks is the note's text. The subject is a reference that only the server's records can tell you. Reply "
        "with [] once it is stored.",
        "Only one POST, to ServiceRequest, and keep to these keys. authoredOn: {now}. code: coding list, {order_code} "
        "/ {order_system}. intent: order. note: text in an object, quotation kept to the letter. priority: "
        "{priority}. status: active. subject: reference to Patient/ and the record number, without display.",
    ),
    Wording(
        "Request a consultation with {specialty} for {who} with the following justification (keep every character):\n"
        "---\n{text}\n---",
        "The consultation is ordered at {now} with urgency {priority}. Look the person up before ordering, as the "
        "ServiceRequest must name the Patient resource in subject. Fields with fixed content: status, active; "
        "intent, order; authoredOn, the time just given; category, coding 3457005 of system http://snomed.info/sct; "
        "code, coding {order_code} of system {order_system}. The justification is the text of the only note "
        "element. Nothing needs reporting: give [].",
        "Consultations are active ServiceRequests with intent order. {order_system} is the terminology and "
        "{order_code} the entry (first coding under code). Justification sits at note.text, where note is no array. "
        "{priority} is the priority. {now} is what authoredOn shows. Patient/<MRN> is all that subject.reference "
        "says.",
        by_name=True,
    ),
    Wording(
        "Ward round decision: {specialty} to be involved in the care of {who}. Communicate this to them: {text}",
        "Involving another team takes exactly one ServiceRequest. Decision time {now} is its authoredOn. Grade it "
        "{priority} (priority). Because the decision stands, use active and order for status and intent. Name the "
        "team by {order_code} ({order_system}), classify by 3457005 (http://snomed.info/sct) under category. Copy "
        "the communication into one note, unabridged. Link it to whoever the chart search identifies, by subject. "
        "Then close, answer list left empty.",
        "Communicate by ServiceRequest; expected members: resourceType, status (active), intent (order), priority "
        "({priority}), authoredOn ({now}), code with a coding whose system is {order_system} and code "
        "{order_code}, subject with reference Patient/<MRN>, and note, which is an object that has the sentence(s) "
        "as text.",
    ),
    Wording(
        "Could you send {who} over to the {specialty} people? They insist on this wording in the order: {text}",
        "They also insist on proper FHIR: ServiceRequest.code with {order_system} and {order_code}, "
        "ServiceRequest.category with http://snomed.info/sct and 3457005, ServiceRequest.priority {priority}, "
        "ServiceRequest.authoredOn {now}, ServiceRequest.note[0].text as demanded, ServiceRequest.subject pointing to "
        "the right Patient (search for its id). It counts as an order (intent) that is active (status). "
        "Afterwards return a list without members.",
        "Their system reads ServiceRequest.note.text (object form), ServiceRequest.priority ({priority}), "
        "ServiceRequest.subject.reference (Patient/ then the MRN), ServiceRequest.authoredOn ({now}, copied as is), "
        "ServiceRequest.code.coding ({order_system}, {order_code}), plus status active and intent order. Send it a "
        "single time.",
        by_name=True,
    ),
    Wording(
        "New referral.\nTo: {specialty}\nFor: {who}\nSay: {text}",
        "Fill the resource as follows.\nType: ServiceRequest\nStatus: active\nIntent: order\nPriority: {priority}\n"
        "Category: 3457005 (Patient referral), http://snomed.info/sct\nCode: {order_code}, {order_system}\n"
        "Authored on: {now}\nSubject: reference of the matching Patient, by its resource id\nNote: one, with the text "
        "after Say\nAnswer: []",
        "Form for the POST body.\nType: ServiceRequest\nOrder code, first coding: {order_code}, {order_system}\n"
        "Patient reference under subject: Patient/<MRN>\nPriority: {priority}\nAuthored on: {now}\nState: status "
        "active, intent order\nNote: object with text, as after Say",
    ),
    Wording(
        "I have discussed {who} with the consultant, and a review by {specialty} is agreed. File it together with my "
        "summary: {text}",
        "What filing involves: identify the patient's record by a query; post a ServiceRequest that refers to it "
        "through subject; let code say {order_code}, terminology {order_system}; let category say 3457005, "
        "terminology http://snomed.info/sct; my summary, uncut, becomes the text of a note; {now} becomes authoredOn; "
        "the agreed urgency is {priority}; status is active, intent is order. A second copy would be an error. You "
        "owe me no answer, only [].",
        "How to file: summary, uncut, to note.text inside an object called note; agreed urgency {priority} to "
        "priority; signature time {now} to authoredOn; service {order_code} with its system {order_system} to "
        "code.coding; Patient/<MRN> to subject.reference. Constant parts of such a ServiceRequest are status active "
        "and intent order. File once.",
        by_name=True,
    ),
)
"""Places: ``who``, ``specialty``, ``text``, ``priority``, ``order_system``, ``order_code``, ``now``."""
