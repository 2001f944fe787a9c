"""The wordings of the three labs families that may order: (instruction, context) pairs, and the payload shapes by mode, eight each."""

from __future__ import annotations

from fhirtasks.episodes.types import Mode

MAGNESIUM = (
    (
        "Check the last magnesium of {patient} from the past {window_hours} hours and order IV replacement by the protocol if it is low.",
        "Magnesium is Observation code {code}, in {unit}; the period includes both its ends. Low means at or below {low_at_or_below}. Protocol: from "
        "{moderate_below} up to that limit {mild_dose} {dose_unit} over {mild_hours} h; below {moderate_below} but not below {severe_below} "
        "{moderate_dose} {dose_unit} over {moderate_hours} h; below {severe_below} {severe_dose} {dose_unit} over {severe_hours} h. Order medication "
        "{medication_code} of system {medication_system}, route {route}. Without a result in the period, or if it is normal, order nothing.",
    ),
    (
        "Please see whether {patient} needs magnesium: look at the newest level, going back no further than {window_hours} hours, and prescribe if so.",
        "This chart files the test under {code} and measures it in {unit}; a sample taken exactly when the period begins belongs to it. Prescribe "
        "nothing above {low_at_or_below} and nothing where no level is found. Otherwise dose by severity: {severe_dose} {dose_unit} in {severe_hours} hours "
        "when under {severe_below}, else {moderate_dose} {dose_unit} in {moderate_hours} hours when under {moderate_below}, else {mild_dose} "
        "{dose_unit} in {mild_hours} hours. The drug has code {medication_code} ({medication_system}) and is given {route}.",
    ),
    (
        "I am worried about hypomagnesemia in {patient}. Find the most recent measurement of the {window_hours} hours before now and treat it as laid down.",
        "Code to query: {code}. Unit: {unit}. The boundary itself qualifies. Laid down is this: severe is < {severe_below} and gets {severe_dose} "
        "{dose_unit} across {severe_hours} h; moderate is < {moderate_below}, {moderate_dose} {dose_unit} across {moderate_hours} h; mild is <= "
        "{low_at_or_below}, {mild_dose} {dose_unit} across {mild_hours} h; anything higher needs no treatment, nor does a missing value. Product: "
        "{medication_system} {medication_code}; way of giving: {route}.",
    ),
    (
        "Run the electrolyte protocol for magnesium on {patient}: latest value not older than {window_hours} hours, then the matching infusion, if any.",
        "It is stored as {code} (in {unit}). Something precisely that old is acceptable, one second more is too old. Steps, first that fits: no value, "
        "stop; over {low_at_or_below}, stop; {moderate_below} or more, {mild_dose} {dose_unit} for {mild_hours} h; {severe_below} or more, "
        "{moderate_dose} {dose_unit} for {moderate_hours} h; the rest, {severe_dose} {dose_unit} for {severe_hours} h. What to infuse is identified "
        "by {medication_code} in {medication_system}; state {route} as route.",
    ),
    (
        "Before rounds end: does {patient} have a magnesium deficit in the look-back of {window_hours} hours? Make up for it with one prescription when needed.",
        "Find levels with {code} as Observation code, inclusive at the start of that span; numbers are {unit}. A deficit begins at {low_at_or_below} "
        "downwards. Give {mild_dose} {dose_unit} ({mild_hours} h) while it stays at {moderate_below} or better, {moderate_dose} {dose_unit} "
        "({moderate_hours} h) once it is less than {moderate_below}, and {severe_dose} {dose_unit} ({severe_hours} h) once it is less than "
        "{severe_below}. Prescribe {medication_code} from {medication_system} for {route} use. No deficit or no data: write no prescription.",
    ),
    (
        "{patient}: magnesium drawn last inside a window of {window_hours} hours ending now; replace as per the sliding scale underneath.",
        "Use {code} in your query; the laboratory reports {unit}, and the opening instant of the interval is part thereof. Sliding scale, level to "
        "amount: up to {low_at_or_below} gives {mild_dose} {dose_unit}, run {mild_hours} h; under {moderate_below} gives {moderate_dose} {dose_unit}, "
        "run {moderate_hours} h; under {severe_below} gives {severe_dose} {dose_unit}, run {severe_hours} h; the lowest line that applies wins. "
        "Higher levels and absent ones get none. Substance {medication_code} | {medication_system}, administered {route}.",
    ),
    (
        "Has a low magnesium been found in {patient} over the preceding {window_hours} hours? If the final one calls for it, put in an order to correct that.",
        "Local code {code}, quantity expressed as {unit}; include samples lying right on the lower limit of time. Three amounts exist. The smallest, "
        "{mild_dose} {dose_unit} during {mild_hours} h, is for results between {moderate_below} and {low_at_or_below}, these two included. The middle "
        "one, {moderate_dose} {dose_unit} during {moderate_hours} h, starts just under {moderate_below}. The largest, {severe_dose} {dose_unit} during "
        "{severe_hours} h, starts just under {severe_below}. Correct with {medication_code}, a code of {medication_system}, {route}; never when "
        "nothing was measured or the result is above range.",
    ),
    (
        "Review magnesium on file for {patient} with a cut-off {window_hours} hours back, and act on the most current reading.",
        "The identifier of this measurement is {code}; its unit, {unit}. At the cut-off counts, before it does not. Acting means a single medication "
        "request, {medication_system} being the system, {medication_code} the code and {route} the route, whose amount follows from the reading r: r < "
        "{severe_below} -> {severe_dose} {dose_unit}, {severe_hours} h; {severe_below} <= r < {moderate_below} -> {moderate_dose} {dose_unit}, "
        "{moderate_hours} h; {moderate_below} <= r <= {low_at_or_below} -> {mild_dose} {dose_unit}, {mild_hours} h. Refrain from acting at r > "
        "{low_at_or_below} or without r.",
    ),
)

POTASSIUM = (
    (
        "Check the last potassium of {patient}; if it is low, order replacement and a repeat level.",
        "Potassium is Observation code {code}, in {unit}, of any age. Low means below {threshold}. Then order first {step_dose} {dose_unit} for every "
        "{step} that it lies below {threshold} (in proportion, rounded half up to one decimal): medication {medication_code} of system "
        "{medication_system}, route {route}. Second, a test with code {order_code} of system {order_system}, to be done at {recheck_time}. Otherwise, "
        "or without any result, order nothing.",
    ),
    (
        "Please see whether {patient} needs potassium: take the newest level, however old it may be, and prescribe plus recheck if so.",
        "This chart files the test under {code} and measures it in {unit}. Nothing is due at {threshold} or more, nor where no level exists. A deficit d = "
        "{threshold} - level calls for d / {step} x {step_dose} {dose_unit}, kept to one decimal; the drug has code {medication_code} "
        "({medication_system}) and is given {route}. After that prescription request the recheck, {order_code} ({order_system}), for "
        "{recheck_time}.",
    ),
    (
        "I am worried about hypokalemia in {patient}. Find the most recent measurement and, should it confirm this, treat and arrange a follow-up sample.",
        "Code to query: {code}. Unit: {unit}. Confirmed is what is < {threshold}; exactly {threshold} is fine. Treatment: {step_dose} {dose_unit} per "
        "{step} missing, parts of a step pro rata, one digit after the point, product {medication_system} {medication_code}, way of giving "
        "{route}. Follow-up sample: {order_system} {order_code}, occurring {recheck_time}, entered as the later of both orders. A chart without "
        "values asks for neither.",
    ),
    (
        "Run the electrolyte protocol for potassium on {patient}: latest value in the whole chart, then the two orders that it demands, if any.",
        "It is stored as {code} (in {unit}). Steps: no value, stop; {threshold} or higher, stop; else subtract it from {threshold}, divide by {step}, "
        "multiply by {step_dose}, round to one decimal. That many {dose_unit} of what {medication_code} in {medication_system} identifies go in as a "
        "request with {route} as route, followed by the laboratory request {order_code} in {order_system} timed {recheck_time}.",
    ),
    (
        "Before rounds end: does {patient} have a potassium deficit going by the freshest level? Make up for it when needed, and have it controlled tomorrow.",
        "Find levels with {code} as Observation code; numbers are {unit} and no time limit applies. There is a deficit only under {threshold}. Each "
        "{step} of it costs {step_dose} {dose_unit}; fractions cost their share (one decimal). Prescribe {medication_code} from {medication_system} for "
        "{route} use, and next book {order_code} from {order_system} with {recheck_time} as its time. No deficit or no data: leave the orders alone.",
    ),
    (
        "{patient}: potassium drawn last of all; replace by the proportional rule underneath and re-test next morning.",
        "Use {code} in your query; the laboratory reports {unit}. Rule: target {threshold}; whoever is beneath receives {step_dose} {dose_unit} times "
        "(target minus level) over {step}, to the nearest tenth, substance {medication_code} | {medication_system}, administered {route}. "
        "Re-test: {order_code} | {order_system}, when: {recheck_time}; enter it behind the replacement. At target, above, or unmeasured: neither.",
    ),
    (
        "Among the potassium tests that {patient} ever had, did the final one come out low? If that calls for it, put in a correction and another test.",
        "Local code {code}, quantity expressed as {unit}. The limit is {threshold}, itself normal. The amount grows linearly with the gap, "
        "{step_dose} {dose_unit} to every {step}, written with one decimal at most. Correct with {medication_code}, a code of {medication_system}, "
        "{route}; the other test is {order_code}, a code of {order_system}, planned on {recheck_time} and submitted in second place. Never "
        "do either for normal or unknown potassium.",
    ),
    (
        "Review potassium on file for {patient}, with no limit on how far back, and act on the most current reading.",
        "The identifier of this measurement is {code}; its unit, {unit}. Acting, only at r < {threshold} where r is that reading, means: (1) a "
        "medication request, {medication_system} being the system, {medication_code} the code, {route} the route, amount ({threshold} - r) / {step} * "
        "{step_dose} {dose_unit} with halves rounded up at the first decimal; (2) thereafter a service request for {order_code} out of "
        "{order_system}, its occurrence {recheck_time}. Without r, refrain.",
    ),
)

A1C = (
    (
        "What is the last hemoglobin A1c of {patient} and when was it taken? If it is too old, order a new one.",
        "Hemoglobin A1c is Observation code {code}. Too old means taken before {stale_before}; exactly then is still good. The test to order has code "
        "{order_code} of system {order_system}. For a patient without any result: {when_absent}. Finish with [value, \"time\"], the time as the record "
        "writes it, or with [-1] if there is none.",
    ),
    (
        "Please look up the newest A1c result for {patient} with its date, and request a repeat where that result has expired.",
        "This chart files the test under {code}. One expires when its effective time is earlier than {stale_before}. A repeat is requested by "
        "{order_code} ({order_system}). Should nobody have measured it so far, {when_absent}. Your answer is a list of the bare value and the "
        "effective dateTime, copied letter by letter; -1 alone stands for no result.",
    ),
    (
        "I need the most recent HbA1c for the diabetes review of {patient}: number, moment, and a fresh order in case it is out of date.",
        "Code to query: {code}. Out of date is everything prior to {stale_before}, that instant itself excluded. Fresh orders go by {order_system} "
        "{order_code}. No HbA1c on record? Then {when_absent}. Reply [number, \"effectiveDateTime unchanged\"], respectively [-1].",
    ),
    (
        "Check the chart of {patient} for the latest glycated hemoglobin, say what and when, and renew it if it predates the limit.",
        "It is stored as {code}. The limit is {stale_before}; at the limit or later no renewal is due. Renewal is one laboratory request, "
        "{order_code} in {order_system}. Finding no value at all, {when_absent}. Give value and stored time inside square brackets, in this sequence; "
        "without value, [-1].",
    ),
    (
        "For the handover: which A1c level of {patient} is freshest, on what day was that, and must it be done again? If it must, arrange so.",
        "Find it with {code} as Observation code. Again is necessary for samples collected before {stale_before}, not for ones collected from then on. "
        "Arrange it through {order_code} from {order_system}. Where the search stays empty, {when_absent}. The final list has the figure first and the "
        "original timestamp text second, or only -1.",
    ),
    (
        "{patient}: A1c drawn last of all, its timestamp too; re-order when stale.",
        "Use {code} in your query. Stale = older than {stale_before} (equal is not stale). Re-order = {order_code} | {order_system}. Unmeasured = "
        "{when_absent}. Close by returning [x, \"t\"] where x is charted and t copied verbatim from its effectiveDateTime, [-1] standing for none found.",
    ),
    (
        "Among the hemoglobin A1c tests that {patient} ever had, what did the final one show, and does its age call for another? Put in what is called for.",
        "Local code {code}. Age becomes an issue once sampling lies further back than {stale_before}; a sample of that very second passes. Another test "
        "means {order_code}, a code of {order_system}. With no test so far: {when_absent}. Output format: [result, \"its time exactly as stored\"]; "
        "use [-1] to say that none exists.",
    ),
    (
        "Retrieve the most current HbA1c reading on file for {patient}, along with its time, and see to a replacement if that time is past the deadline.",
        "The identifier of this measurement is {code}. Readings whose time precedes the deadline {stale_before} need replacement; others do not. See to "
        "it by a service request, {order_system} being the system and {order_code} the code. Should the file hold no reading, {when_absent}. Hand "
        "back reading and time (string as is) in one list; write [-1] if there was nothing.",
    ),
)

_HEAD = (
    "Every order has status active, intent order and the present time as authoredOn.",
    "Set intent to order, status to active, and author what you write at this very moment.",
    "Requests are active orders (status, intent) and their authoredOn equals now.",
    "In whatever you create: authoredOn is the current time given above, intent is order, status is active.",
    "Author prescriptions and bookings now, as active, with order for an intent.",
    "Common fields: status=active; intent=order; authoredOn=now.",
    "An entry must be active, be an order by intent, and be authored at the time stated.",
    "Fill in active (status), order (intent) plus, for authoredOn, the timestamp of this request.",
)

_INFUSION: dict[Mode, tuple[str, ...]] = {
    "clinical": (
        "Write the dose as doseQuantity and the infusion as rateRatio: dose over hours (unit h); the route goes into its text.",
        "Besides doseQuantity, fill rateRatio with that amount as numerator and the hours (h) as denominator, and route.text.",
        "Dosage: doseQuantity, route as text, and a rateRatio whose denominator is the duration in h.",
        "doseAndRate needs doseQuantity plus rateRatio (numerator the dose, denominator the time in h); route has text.",
        "Express speed by rateRatio, amount per hours (unit h), next to doseQuantity; name the route in route.text.",
        "Dosage fields: route.text; doseQuantity; rateRatio = doseQuantity / hours in h.",
        "Its dosage carries route text, a doseQuantity, and how long it runs as the h denominator of a rateRatio.",
        "For the dosage use doseQuantity, rateRatio (how much, over how many h) together with a textual route.",
    ),
    "compat": (
        "Write the route as a bare string, doseQuantity with value and unit only, and the hours as rateQuantity with unit h.",
        "Besides doseQuantity (just value and unit), put the hours into rateQuantity, unit h; route is plain text, no object.",
        "Dosage: route a simple string, doseQuantity of two fields, duration in h as rateQuantity.",
        "doseAndRate needs doseQuantity plus rateQuantity (value the hours, unit h), no further keys; route is a mere string.",
        "Express duration by rateQuantity in h next to doseQuantity, each value and unit alone; the route stands as string.",
        "Dosage fields: route (string); doseQuantity {{value, unit}}; rateQuantity {{value: hours, unit: h}}.",
        "Its dosage carries an unwrapped route string, a doseQuantity, and how many h it runs as rateQuantity.",
        "For the dosage use doseQuantity and rateQuantity (h), value with unit in both, together with an untyped route string.",
    ),
}

_DOSE: dict[Mode, tuple[str, ...]] = {
    "clinical": (
        "Write the dose as doseQuantity and the route into its text.",
        "Fill doseQuantity and route.text.",
        "Dosage: doseQuantity, with route as text.",
        "doseAndRate needs a doseQuantity; route has text.",
        "Name the route in route.text beside the doseQuantity.",
        "Dosage fields: route.text; doseQuantity.",
        "Its dosage carries route text and a doseQuantity.",
        "For the dosage use doseQuantity together with a textual route.",
    ),
    "compat": (
        "Write the route as a bare string and the dose as doseQuantity; the test has priority stat.",
        "Fill doseQuantity, make route plain text instead of an object, and give the laboratory request stat as priority.",
        "Dosage: doseQuantity, with route a simple string. Service requests are stat in priority.",
        "doseAndRate needs a doseQuantity; route is a mere string; the second order's priority is stat.",
        "The route stands as string beside the doseQuantity, and what is booked is booked with stat priority.",
        "Dosage fields: route (string); doseQuantity. Re-test field: priority=stat.",
        "Its dosage carries an unwrapped route string and a doseQuantity; ask for the test at priority stat.",
        "For the dosage use doseQuantity together with an untyped route string; the service request says stat under priority.",
    ),
}

_STAT = (
    "Its priority is stat.",
    "Mark that request stat (priority).",
    "Service requests are stat in priority.",
    "Add stat as the priority.",
    "Book with stat priority.",
    "Further field: priority=stat.",
    "Ask for it at priority stat.",
    "Under priority, say stat.",
)


def _joined(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{one} {two}" for one, two in zip(first, second, strict=True))


MAGNESIUM_SHAPE: dict[Mode, tuple[str, ...]] = {mode: _joined(_HEAD, texts) for mode, texts in _INFUSION.items()}
RECHECK_SHAPE: dict[Mode, tuple[str, ...]] = {mode: _joined(_HEAD, texts) for mode, texts in _DOSE.items()}
ORDERS_SHAPE: dict[Mode, tuple[str, ...]] = {"clinical": _HEAD, "compat": _joined(_HEAD, _STAT)}
