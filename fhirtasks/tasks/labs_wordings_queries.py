"""The wordings of the three labs families that only ask: (instruction, context) pairs, eight each."""

from __future__ import annotations

LATEST_IN_WINDOW = (
    (
        "What was the last {analyte} of {patient} within the past {window_hours} hours?",
        "Search the laboratory Observations by code {code}; values are in {unit}. The period includes both its ends.",
    ),
    (
        "Please look up the newest {analyte} result for {patient}, going back no further than {window_hours} hours.",
        "This chart files the test under {code} and measures it in {unit}. A sample taken exactly when the period begins still belongs to it.",
    ),
    (
        "I need to know how the {analyte} of {patient} stood most recently, but only if somebody measured it in the {window_hours} hours before now.",
        "Code to query: {code}. Unit: {unit}. Go by when a specimen was taken; the boundary itself qualifies.",
    ),
    (
        "Check the chart: for {patient}, report the latest {analyte} that is not older than {window_hours} hours.",
        "It is stored as {code} (in {unit}). Something precisely that old is acceptable, one second more is too old.",
    ),
    (
        "For the handover, tell me the freshest {analyte} value; it concerns {patient}, and the look-back is {window_hours} hours.",
        "Find it with {code} as Observation code. Effective time decides, inclusive at the start of that span; numbers are {unit}.",
    ),
    (
        "{patient}: give me the {analyte} drawn last, provided it falls inside a window of {window_hours} hours ending now.",
        "Use {code} in your query. The laboratory reports {unit}, and the opening instant of the interval is part thereof.",
    ),
    (
        "Has {patient} had any {analyte} done over the preceding {window_hours} hours, and if so, what did the final one show?",
        "Local code {code}, quantity expressed as {unit}. Include samples lying right on the lower limit.",
    ),
    (
        "Retrieve the most current {analyte} reading on file for {patient} with a cut-off {window_hours} hours back.",
        "The identifier of this measurement is {code}; its unit, {unit}. At the cut-off counts, before it does not.",
    ),
)

MEAN = (
    (
        "What was the average {analyte} of {patient} over the past {window_hours} hours?",
        "Search the laboratory Observations by code {code}; values are in {unit}. Every result of the period counts once, both ends included. Finish "
        "with a list that holds one number, rounded to {decimals} decimal(s) (half up), or [-1] when there are no results.",
    ),
    (
        "Please calculate the mean {analyte} for {patient}, using all measurements from the last {window_hours} hours.",
        "This chart files the test under {code} and measures it in {unit}. A sample taken exactly when the period begins still belongs to it. Your "
        "answer is a one-element list: the arithmetic mean to {decimals} decimal place(s), or -1 in its place if nothing qualifies.",
    ),
    (
        "I need one figure that sums up how {patient} ran: the {analyte} averaged across the {window_hours} hours before now.",
        "Code to query: {code}. Unit: {unit}. Weigh each measurement alike, also those made at one time; the boundary itself qualifies. Reply [mean] "
        "with {decimals} digit(s) after the point; no measurement at all is answered [-1].",
    ),
    (
        "Check the chart: for {patient}, add up the {analyte} values that are not older than {window_hours} hours and divide by how many there are.",
        "They are stored as {code} (in {unit}). Something precisely that old is acceptable, one second more is too old. Round what you get "
        "to {decimals} decimal(s) and put it alone inside square brackets; write [-1] where there was nothing to divide.",
    ),
    (
        "For the handover, tell me the typical {analyte} level, as a plain average; it concerns {patient}, and the look-back is {window_hours} hours.",
        "Find them with {code} as Observation code, on every page. Effective time decides, inclusive at the start of that span; numbers are {unit}. "
        "The final list has exactly one entry, given to {decimals} decimal(s); an empty search becomes [-1].",
    ),
    (
        "{patient}: give me the {analyte} mean inside a window of {window_hours} hours ending now.",
        "Use {code} in your query. The laboratory reports {unit}, and the opening instant of the interval is part thereof. Close by returning [x], x "
        "being the unweighted mean at a precision of {decimals} decimal(s); [-1] stands for none found.",
    ),
    (
        "Suppose every {analyte} that {patient} had during the preceding {window_hours} hours were one number: which would it be on average?",
        "Local code {code}, quantity expressed as {unit}. Include samples lying right on the lower limit and leave no repeat out. Output "
        "format: [number], {decimals} decimal(s). Use [-1] to say that the span was empty.",
    ),
    (
        "Work out, with a cut-off {window_hours} hours back, what the {analyte} readings on file for {patient} come to in the mean.",
        "The identifier of this measurement is {code}; its unit, {unit}. At the cut-off counts, before it does not. Hand back a single figure in "
        "a list, correct to {decimals} decimal(s); should the chart offer nothing, that figure is [-1].",
    ),
)

LATEST = (
    (
        "What is the last {analyte} ever recorded for {patient}?",
        "Search the laboratory Observations by code {code}; values are in {unit}. How long ago it was makes no difference.",
    ),
    (
        "Please look up the newest {analyte} result of {patient}, however old it may be.",
        "This chart files the test under {code} and measures it in {unit}. Mind that the server does not return entries by date.",
    ),
    (
        "I need to know how the {analyte} stood when somebody last measured it: {patient} is who I mean.",
        "Code to query: {code}. Unit: {unit}. Go by when a specimen was taken, not by where it stands on the list.",
    ),
    (
        "Check the whole chart and report the most recent {analyte} on record, whatever its age; this is about {patient}.",
        "It is stored as {code} (in {unit}). Compare effective times across all pages.",
    ),
    (
        "For the handover, which {analyte} value of {patient} is freshest?",
        "Find it with {code} as Observation code. Effective time decides and no time limit applies; numbers are {unit}.",
    ),
    (
        "{patient}: give me the {analyte} drawn last of all.",
        "Use {code} in your query. The laboratory reports {unit}. Years may have passed since then.",
    ),
    (
        "Among all the {analyte} tests that {patient} has ever had, what did the final one show?",
        "Local code {code}, quantity expressed as {unit}. There can be many, in no particular sequence.",
    ),
    (
        "Retrieve from the file the most current {analyte} reading, with no limit on how far back, for {patient}.",
        "The identifier of this measurement is {code}; its unit, {unit}. Sort or read everything before you choose.",
    ),
)
