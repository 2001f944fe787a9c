"""When a resource became known: the end of the latest date written anywhere in its body.

What tells of later events is hidden with what happens later: a stay that ends after a task's ``now`` would otherwise
tell of its end. ``birthDate`` and ``meta.lastUpdated`` do not count (the one is no event of the chart, the other
tells of the server).
"""

from __future__ import annotations

DATE_KEYS = (
    "[A-Za-z]*Date(?:Time)?|authored|authoredOn|created|creation|date|dateAsserted|dateTime|dateWritten|detected"
    "|effectiveTime|end|event|expiry|issued|lastModified|lastOccurrence|lastPerformed|nextScheduled|onset|received|receivedTime"
    "|recorded|recordedOn|sent|start|started|statusDate|time|timestamp|validTo|whenHandedOver|whenPrepared"
)
"""Elements whose R4 type is a date or dateTime. A year or a month alone (``2019``, ``2019-04``) counts only there:
elsewhere four digits are a postal code or a local code as likely as a year."""

_IGNORED = '"(?:birthDate|lastUpdated)":"[^"]*"'
_PARTIAL = rf'"(?:{DATE_KEYS})":"\d{{4}}(?:-\d{{2}})?"'
_FULL = r'[:\[,]"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})?)?"'
PATTERN = f"{_IGNORED}|{_PARTIAL}|{_FULL}"
"""Over minified JSON: each match ends with a date in quotes. The quote that opens a JSON string value follows ``:``,
``[`` or ``,`` without a backslash, and a date followed by a quote ends it, so dates inside longer strings never
match."""

_DAY = 86_400_000_000


def available_sql(raw: str) -> str:
    """SQL for ``available`` (BIGINT µs since the epoch, UTC; null without any date), ``raw`` being SQL for minified
    JSON text.

    An instant counts as itself, a day, month or year as its last µs. Impossible dates (30 February) count as none.
    """
    # Escapes such as \u002d could hide a date from the pattern: such bodies (rare) are rewritten by the JSON reader
    # first.
    text = rf"(CASE WHEN contains({raw}, '\u00') THEN json({raw})::VARCHAR ELSE {raw} END)"
    # "key":"date" has its date after the third quote, [:,]"date" after the first.
    date = "(CASE WHEN starts_with(m, '\"') THEN split_part(m, '\"', 4) ELSE split_part(m, '\"', 2) END)"
    # A time without an offset (no R4, but seen) is taken as UTC; a leap second as the second after.
    zoned = f"(CASE WHEN ends_with({date}, 'Z') OR {date}[-6] IN ('+', '-') THEN {date} ELSE {date} || 'Z' END)"
    leap = f"epoch_us(TRY_CAST(replace({zoned}, ':60', ':59') AS TIMESTAMPTZ)) + 1000000"
    instant = f"coalesce(epoch_us(TRY_CAST({zoned} AS TIMESTAMPTZ)), {leap})"
    end = f"""CASE
        WHEN starts_with(m, '"birthDate"') OR starts_with(m, '"lastUpdated"') THEN NULL
        WHEN length({date}) > 10 THEN {instant}
        WHEN length({date}) = 10 THEN epoch_us(TRY_CAST({date} AS DATE)) + {_DAY - 1}
        WHEN length({date}) = 7 THEN epoch_us(TRY_CAST({date} || '-01' AS DATE) + INTERVAL 1 MONTH) - 1
        ELSE epoch_us(TRY_CAST({date} || '-01-01' AS DATE) + INTERVAL 1 YEAR) - 1 END"""
    return f"list_max(list_transform(regexp_extract_all({text}, '{PATTERN}'), lambda m: {end}))"
