#!/usr/bin/env python3
"""Sends a file of usage to a stream of Sluice, and counts each record once, however often it is started.

    send_usage.py STREAM FILE

FILE is CSV or NDJSON, by its name (.csv or else), gzipped where that ends in .gz. SLUICE_KEY is the secret of a key with the
scope INGEST, SLUICE_URL where the server is. README.md shows the forms of the lines. Only the standard library is used.
"""

import csv
import decimal
import email.utils
import gzip
import hashlib
import http.client
import itertools
import json
import os
import random
import sys
import time
import urllib.error
import urllib.request

# Records in one request: half of the 10,000 that a server takes, and below its 5 MiB. Idempotency keys depend on where
# batches begin: a file of which a part was sent has to be sent again with the same number.
BATCH = 5000
ATTEMPTS = 8
LONGEST_DELAY = 60.0
# Busy, or away for a moment. Anything else would be answered the same way again.
COME_AGAIN = {429, 502, 503, 504}

SUM = """
mutation ($input: AllocationInput!) {
  allocationSum(input: $input) {
    ... on AllocationReceipt { replayed operation { insertedRecords } }
    ... on UserError { code message }
    ... on ValidationError { issueCount issues { path code message } }
  }
}
"""


class Refused(Exception):
    """The server, or the file itself, says what is wrong; sending it again would not help."""


# --- the file ----------------------------------------------------------------------------------------------------------


def open_text(path):
    opener = gzip.open if path.endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8-sig", newline="")


def read_records(path):
    """Pairs of a line number and the record that begins there."""
    with open_text(path) as lines:
        is_csv = path.removesuffix(".gz").endswith(".csv")
        yield from (read_csv if is_csv else read_ndjson)(lines)


def read_csv(lines):
    """A header row; timestamp, granularity, element and value by name, and every other column is a dimension."""
    reader = csv.reader(lines, strict=True)
    header = next(reader, [])
    own = ("timestamp", "granularity", "element", "value")
    missing = [name for name in own if name not in header]
    if missing:
        raise Refused(f"line 1: there is no column {', '.join(missing)}")
    while True:
        # A quoted field may hold line ends: the record begins after the last line of the one before.
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise Refused(f"line {line}: {error}") from None
        if not cells:
            continue
        if len(cells) != len(header):
            raise Refused(f"line {line}: {len(cells)} fields, and the header has {len(header)}")
        row = dict(zip(header, cells))
        yield line, {
            "timestamp": row["timestamp"],
            "granularity": row["granularity"].upper(),
            "elementName": row["element"],
            "filter": [{"dimension": name, "values": [row[name]]} for name in header if name not in own],
            "value": row["value"],
        }


def read_ndjson(lines):
    """One record a line, in the form that the REST routes take too."""
    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            # Numbers stay the text that they are: as floats, 12345678901234567890.1 would lose digits without a word.
            record = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
            yield line, {
                "timestamp": record["timestamp"],
                "granularity": record["granularity"].upper(),
                "elementName": record["element-name"],
                "filter": [
                    {"dimension": name, "values": values} for name, values in record.get("filter", {}).items()
                ],
                "value": record["value"],
            }
        except KeyError as error:
            raise Refused(f"line {line}: there is no {error.args[0]}") from None
        except (ValueError, AttributeError, TypeError):
            raise Refused(f"line {line}: this is no record as JSON") from None


def batches(pairs):
    pairs = iter(pairs)
    while batch := list(itertools.islice(pairs, BATCH)):
        yield [line for line, _ in batch], [record for _, record in batch]


def idempotency_key(stream, number, records):
    """Made of what is sent and of its place in the file, and of nothing that differs at a second start."""
    content = json.dumps([stream, number, records], separators=(",", ":"), sort_keys=True)
    return f"send-usage-{hashlib.sha256(content.encode()).hexdigest()}"


# --- the server --------------------------------------------------------------------------------------------------------


def retry_after(headers):
    """Seconds that the server asks to wait: a number or a date, as HTTP has it."""
    value = headers.get("Retry-After")
    if value is None:
        return 0.0
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def post(url, key, body):
    """The answer, whatever its status; a lost connection and a busy server are tried again, later each time."""
    request = urllib.request.Request(
        f"{url}/graphql", body, {"Content-Type": "application/json", "X-API-Key": key}
    )
    for attempt in range(1, ATTEMPTS + 1):
        asked = 0.0
        try:
            with urllib.request.urlopen(request, timeout=70) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                if error.code not in COME_AGAIN:
                    return refusal(error)
            reason, asked = f"HTTP {error.code}", retry_after(error.headers)
        except (OSError, http.client.HTTPException) as error:
            # Whether it was stored is not known. The idempotency key makes it safe to ask again.
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        if attempt == ATTEMPTS:
            break
        # Doubled each time, and a random part of it: many senders that lost one server do not come back as one. What the
        # server asks for is the least.
        delay = max(asked, min(LONGEST_DELAY, 0.25 * 2**attempt) * random.uniform(0.5, 1.0))
        print(f"{reason}; again in {delay:.1f} s", file=sys.stderr)
        time.sleep(delay)
    raise Refused(f"given up after {ATTEMPTS} attempts: {reason}")


def refusal(error):
    """GraphQL's errors, where the server itself answers; something else on the way, a proxy say, has no words for us."""
    try:
        return json.load(error)
    except ValueError:
        raise Refused(f"HTTP {error.code}") from None


def send(url, key, stream, number, lines, records):
    """The receipt of one batch."""
    variables = {
        "input": {
            "stream": stream,
            "records": records,
            "idempotencyKey": idempotency_key(stream, number, records),
        }
    }
    answer = post(url, key, json.dumps({"query": SUM, "variables": variables}).encode())
    if "errors" in answer:
        raise Refused("\n".join(error["message"] for error in answer["errors"]))
    result = answer["data"]["allocationSum"]
    if "code" in result:
        raise Refused("\n".join([f"{result['code']}: {result['message']}", *told(result, lines)]))
    return result


def told(result, lines):
    """A line for each issue of a ValidationError, with the line of the file that it is about."""
    issues = result.get("issues", [])
    for issue in issues:
        # ["input", "records", "3", "value"]: the fourth record of this batch.
        path = issue["path"]
        of_record = len(path) > 2 and path[1] == "records"
        place = f"line {lines[int(path[2])]}" if of_record else ".".join(path)
        field = ".".join(path[3:]) if of_record else ""
        yield f"  {place}: {field + ': ' if field else ''}{issue['message']} ({issue['code']})"
    if result.get("issueCount", 0) > len(issues):
        yield f"  and {result['issueCount'] - len(issues)} more"


def main(arguments):
    if len(arguments) != 2:
        raise Refused(__doc__.strip())
    stream, path = arguments
    url = os.environ.get("SLUICE_URL", "http://127.0.0.1:4000").rstrip("/")
    key = os.environ.get("SLUICE_KEY")
    if not key:
        raise Refused("SLUICE_KEY is not set: the secret of a key with the scope INGEST")
    # As many digits as a sum of exact values may have; by default it would be rounded to 28.
    decimal.getcontext().prec = 100
    total, sent = decimal.Decimal(0), 0
    # One after the other, and none after a refused one: so a file whose bad lines are mended and that is sent again has the
    # same batches up to there, and those are replays.
    for number, (lines, records) in enumerate(batches(read_records(path))):
        result = send(url, key, stream, number, lines, records)
        total += sum(decimal.Decimal(record["value"]) for record in records)
        sent += len(records)
        how = "there already" if result["replayed"] else "stored"
        print(f"lines {lines[0]} to {lines[-1]}: {len(records)} records, {how}")
    print(f"{sent} records with {total:f} in all")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (Refused, OSError, EOFError, UnicodeDecodeError) as refused:
        print(refused, file=sys.stderr)
        sys.exit(1)
