#!/usr/bin/env python3
"""Sends a file of usage to a stream of Sluice. Running it again stores nothing twice.

    send_usage.py STREAM FILE

FILE is CSV if its name ends in .csv, otherwise NDJSON, and gzipped if its name ends in .gz. SLUICE_KEY is the secret of a key
with the scope INGEST, SLUICE_URL the address of the server. README.md describes the formats. Only the standard library is used.
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

# Records per request: half of the 10,000 that a server accepts, and below its 5 MiB. Idempotency keys depend on the size of
# batches: resume a file with the same number.
BATCH = 5000
ATTEMPTS = 8
LONGEST_DELAY = 60.0
# Status codes of transient errors. Other errors would occur again.
RETRYABLE_STATUS = {429, 502, 503, 504}

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
    """An error of the file or from the server that a retry cannot solve."""


# --- the file ----------------------------------------------------------------------------------------------------------


def open_text(path):
    opener = gzip.open if path.endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8-sig", newline="")


def read_records(path):
    """Yields pairs of a line number and the record that begins in this line."""
    with open_text(path) as lines:
        is_csv = path.removesuffix(".gz").endswith(".csv")
        yield from (read_csv if is_csv else read_ndjson)(lines)


def read_csv(lines):
    """Reads timestamp, granularity, element and value by the names in the header. Every other column is a dimension."""
    reader = csv.reader(lines, strict=True)
    header = next(reader, [])
    own = ("timestamp", "granularity", "element", "value")
    missing = [name for name in own if name not in header]
    if missing:
        raise Refused(f"line 1: missing column {', '.join(missing)}")
    while True:
        # A quoted field may contain line breaks, so the record begins after the last line of the previous one.
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
            raise Refused(f"line {line}: {len(cells)} fields, but the header has {len(header)}")
        row = dict(zip(header, cells))
        yield line, {
            "timestamp": row["timestamp"],
            "granularity": row["granularity"].upper(),
            "elementName": row["element"],
            "filter": [{"dimension": name, "values": [row[name]]} for name in header if name not in own],
            "value": row["value"],
        }


def read_ndjson(lines):
    """Reads one record per line, in the format of the REST routes."""
    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            # Keep numbers as text: as a float, 12345678901234567890.1 would silently lose digits.
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
            raise Refused(f"line {line}: missing {error.args[0]}") from None
        except (ValueError, AttributeError, TypeError):
            raise Refused(f"line {line}: not a valid JSON record") from None


def batches(pairs):
    pairs = iter(pairs)
    while batch := list(itertools.islice(pairs, BATCH)):
        yield [line for line, _ in batch], [record for _, record in batch]


def idempotency_key(stream, number, records):
    """Returns a key that depends only on the records and the number of the batch, so it is the same at a second start."""
    content = json.dumps([stream, number, records], separators=(",", ":"), sort_keys=True)
    return f"send-usage-{hashlib.sha256(content.encode()).hexdigest()}"


# --- the server --------------------------------------------------------------------------------------------------------


def retry_after(headers):
    """Returns the seconds of the header Retry-After, which is a number or a date."""
    value = headers.get("Retry-After")
    if not value:
        return 0.0
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def post(url, key, body):
    """Returns the response. Retries lost connections and transient errors with exponential backoff."""
    request = urllib.request.Request(
        f"{url}/graphql", body, {"Content-Type": "application/json", "X-API-Key": key}
    )
    for attempt in range(1, ATTEMPTS + 1):
        minimum = 0.0
        try:
            with urllib.request.urlopen(request, timeout=70) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                if error.code not in RETRYABLE_STATUS:
                    return error_response(error)
            reason, minimum = f"HTTP {error.code}", retry_after(error.headers)
        except (OSError, http.client.HTTPException) as error:
            # It is unknown whether the batch was stored. The idempotency key makes a retry safe.
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        if attempt == ATTEMPTS:
            break
        # Doubled each time, with jitter, so that many clients of one server do not retry together. Retry-After is the minimum.
        delay = max(minimum, min(LONGEST_DELAY, 0.25 * 2**attempt) * random.uniform(0.5, 1.0))
        print(f"{reason}; retrying in {delay:.1f} s", file=sys.stderr)
        time.sleep(delay)
    raise Refused(f"failed after {ATTEMPTS} attempts: {reason}")


def error_response(error):
    """Returns the GraphQL errors of the server. Raises Refused if the response is from a proxy and not from the server."""
    try:
        return json.load(error)
    except ValueError:
        raise Refused(f"HTTP {error.code}") from None


def send(url, key, stream, number, lines, records):
    """Sends one batch and returns its receipt."""
    variables = {
        "input": {
            "stream": stream,
            "records": records,
            "idempotencyKey": idempotency_key(stream, number, records),
        }
    }
    response = post(url, key, json.dumps({"query": SUM, "variables": variables}).encode())
    if "errors" in response:
        raise Refused("\n".join(error["message"] for error in response["errors"]))
    result = response["data"]["allocationSum"]
    if "code" in result:
        raise Refused("\n".join([f"{result['code']}: {result['message']}", *format_issues(result, lines)]))
    return result


def format_issues(result, lines):
    """Yields a line of text for each issue of a ValidationError, with its line number in the file."""
    issues = result.get("issues", [])
    for issue in issues:
        # ["input", "records", "3", "value"]: the fourth record of this batch.
        path = issue["path"]
        is_record = len(path) > 2 and path[1] == "records"
        location = f"line {lines[int(path[2])]}" if is_record else ".".join(path)
        field = ".".join(path[3:]) if is_record else ""
        yield f"  {location}: {field + ': ' if field else ''}{issue['message']} ({issue['code']})"
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
    # The default precision would round the sum to 28 digits.
    decimal.getcontext().prec = 100
    total, sent = decimal.Decimal(0), 0
    # Send batches one after another and stop at the first rejected one. After its lines are corrected, the earlier batches
    # are the same as before, so they are replayed.
    for number, (lines, records) in enumerate(batches(read_records(path))):
        result = send(url, key, stream, number, lines, records)
        total += sum(decimal.Decimal(record["value"]) for record in records)
        sent += len(records)
        how = "already stored" if result["replayed"] else "stored"
        print(f"lines {lines[0]} to {lines[-1]}: {len(records)} records, {how}")
    print(f"{sent} records, sum of values {total:f}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (Refused, OSError, EOFError, UnicodeDecodeError) as refused:
        print(refused, file=sys.stderr)
        sys.exit(1)
