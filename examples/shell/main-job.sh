#!/usr/bin/env bash
# The main job with curl and jq: sends usage, runs an export job, and verifies its files. README.md describes how to run it.
# shellcheck disable=SC2016 # GraphQL and jq in single quotes contain $
set -euo pipefail

url=${SLUICE_URL:-http://127.0.0.1:4000}
key=${SLUICE_KEY:?the secret of a key with the scopes INGEST and JOBS}
destination=${1:-s3://customer-bucket/usage}
stream=${STREAM:-shell-example}
# events: the server sends each state over SSE. poll: the run is queried every second.
wait_by=${WAIT:-events}
wait_seconds=${WAIT_SECONDS:-120}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf '%s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

# send DOCUMENT VARIABLES CURL_OPTIONS...: prints the response of the server.
# The key is passed through a file descriptor, because all users of the machine can read command lines.
send() {
  jq -n --arg query "$1" --argjson variables "$2" '{$query, $variables}' |
    curl --silent --show-error "$url/graphql" --data-binary @- "${@:3}" \
      -H 'Content-Type: application/json' -H @<(printf 'X-API-Key: %s\n' "$key")
}

# gql DOCUMENT VARIABLES: prints the data. curl retries after lost connections, 429 and 503, and waits as long as Retry-After
# says, so each mutation below must be safe to repeat. -o, because curl cannot undo output to a pipe before a retry.
gql() {
  send "$1" "$2" -o "$work/answer" --retry 6 --retry-all-errors --retry-max-time 120 --max-time 60 ||
    fail "No response from $url."
  jq -e '.errors | not' "$work/answer" >/dev/null || fail "$(jq -r '.errors[] | "\(.extensions.code): \(.message)"' "$work/answer")"
  jq -c .data "$work/answer"
}

# Expected failures are part of the result, and every mutation selects them.
failure='... on UserError { code message } ... on ValidationError { issues { path code message } }'
# refused RESULT: ends the script if the result is such a failure, and prints one line per issue.
refused() {
  jq -e 'has("code") | not' <<<"$1" >/dev/null ||
    fail "$(jq -r '"\(.code): \(.message)", (.issues // [] | .[] | "  \(.path | join(".")): \(.message)")' <<<"$1")"
}

# --- send usage --------------------------------------------------------------------------------------------------------
# Values are strings, because jq and many other programs round numbers to doubles.
# The idempotency key contains the day, and the records depend on the day only, so a second start today sends the same request.
records=$(jq -n '
  [(2, 1) as $ago | (now - $ago * 86400 | strftime("%Y-%m-%dT00:00:00Z")) as $day |
   (["hooli", "eu", "1200.5"], ["hooli", "us", "0.000000000001"], ["acme", "eu", "12345678901234567890.25"]) |
   {timestamp: $day, granularity: "DAILY", elementName: .[0], filter: [{dimension: "region", values: [.[1]]}], value: .[2]}]')
sum_variables=$(jq -n --arg stream "$stream" --argjson records "$records" \
  '{input: {$stream, $records, idempotencyKey: "\($stream) \($records[-1].timestamp)"}}')
add_usage() {
  local answer
  answer=$(gql 'mutation ($input: AllocationInput!) { allocationSum(input: $input) {
    ... on AllocationReceipt { replayed operation { insertedRecords } } '"$failure"' } }' "$sum_variables")
  answer=$(jq -c .allocationSum <<<"$answer")
  refused "$answer"
  jq -r '"\(.operation.insertedRecords) records" + if .replayed then ", replayed: already stored" else "" end' <<<"$answer"
}
echo '== Usage'
add_usage
# The same request again, as after a lost response: it is stored once.
add_usage

usage=$(gql 'query ($input: UsageInput!) { usage(input: $input) {
  ... on Usage { series { group { values } points { bucketStart value } } } '"$failure"' } }' \
  "$(jq -n --arg stream "$stream" '{input: {meterApiNames: [$stream], aggregationBucket: "DAY", groupBy: ["element"],
    from: (now - 7 * 86400 | todate), to: (now | todate)}}')")
usage=$(jq -c .usage <<<"$usage")
refused "$usage"
jq -r '.series[] | .group[0].values[0] as $element | .points[] | [.bucketStart[:10], $element, .value] | @tsv' <<<"$usage"

# --- create and run the job ---------------------------------------------------------------------------------------------
job_name="Daily $stream"
job_variables=$(jq -n --arg name "$job_name" --arg stream "$stream" --arg s3Url "$destination" '{input: {
  jobName: $name, s3Url: $s3Url, format: "CSV", meterApiNames: [$stream], aggregationBucket: "DAY", range: "ago(7d)",
  groupBy: ["region", "element"], cron: "0 2 * * *"}}')
created=$(gql 'mutation ($input: CreateJobInput!) { createJob(input: $input) { ... on Job { id } '"$failure"' } }' "$job_variables")
created=$(jq -c .createJob <<<"$created")
if [[ $(jq -r .code <<<"$created") == CONFLICT ]]; then
  # The job exists: from an earlier start, or from a request whose response was lost. If no job has the name, report the conflict.
  found=$(gql 'query ($name: String!) { jobs(search: $name, first: 100) { edges { node { id jobName } } } }' \
    "$(jq -n --arg name "$job_name" '{$name}')")
  created=$(jq -c --arg name "$job_name" --argjson conflict "$created" \
    'first(.jobs.edges[].node | select(.jobName == $name)) // $conflict' <<<"$found")
fi
refused "$created"
job=$(jq -r .id <<<"$created")
# The job also runs every night at two. If this request arrives twice, two runs write the same object keys.
started=$(gql 'mutation ($input: RunJobInput!) { runJob(input: $input) { ... on Run { id } '"$failure"' } }' \
  "$(jq -n --arg job "$job" '{input: {jobId: $job}}')")
started=$(jq -c .runJob <<<"$started")
refused "$started"
run=$(jq -r .id <<<"$started")
run_variables=$(jq -n --arg id "$run" '{$id}')

echo "== Run $run"
# follow_run: prints a line for each state that the server sends. Returns when the run or the connection ends.
follow_run() {
  send 'subscription ($id: ID!) { runUpdated(runId: $id) { status attempt rowsWritten } }' "$run_variables" \
    --no-buffer --max-time "$wait_seconds" -H 'Accept: text/event-stream' |
    while IFS= read -r line; do
      [[ $line == 'data: {'* ]] || continue
      jq -r '.data.runUpdated // empty | "\(.status), \(.rowsWritten) rows"' <<<"${line#data: }"
    done
}
# await_run: queries the run until it has ended, and prints it.
await_run() {
  local answer deadline=$((SECONDS + wait_seconds))
  while true; do
    answer=$(gql 'query ($id: ID!) { run(id: $id) { status manifestKey error { code message } job { s3Url } } }' "$run_variables")
    answer=$(jq -c .run <<<"$answer")
    if jq -e '.status | IN("SUCCEEDED", "FAILED", "CANCELED")' <<<"$answer" >/dev/null; then break; fi
    ((SECONDS < deadline)) || fail "The run has not ended after $wait_seconds s: $answer"
    sleep 1
  done
  printf '%s\n' "$answer"
}
# Events are faster, polling is reliable: a connection may break, but the state is in the database.
if [[ $wait_by == events ]]; then follow_run || say 'The event stream broke; polling instead.'; fi
ended=$(await_run)
jq -r .status <<<"$ended"
[[ $(jq -r .status <<<"$ended") == SUCCEEDED ]] || fail "$(jq -r '.error // {} | "\(.code): \(.message)"' <<<"$ended")"

# --- verify the files -----------------------------------------------------------------------------------------------------
bucket=$(jq -r '.job.s3Url | ltrimstr("s3://") | split("/")[0]' <<<"$ended")
# read_object KEY: prints an object, from the folder of local mode or from S3. Sluice itself cannot read the bucket.
read_object() {
  if [[ -n ${S3_DIR:-} ]]; then cat "$S3_DIR/$bucket/$1"; else aws s3 cp "s3://$bucket/$1" -; fi
}
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1; }

manifest_key=$(jq -r .manifestKey <<<"$ended")
echo "== $manifest_key"
read_object "$manifest_key" >"$work/manifest"
jq . "$work/manifest"
# Rely on a complete manifest and on the objects that it lists, and on nothing else.
[[ $(jq -r .state "$work/manifest") == complete ]] || fail 'The window is being written again. Try again later.'
jq -r '.objects[] | "\(.sha256) \(.key)"' "$work/manifest" | while read -r sha256 object; do
  read_object "$object" >"$work/object"
  [[ $(sha256 <"$work/object") == "$sha256" ]] || fail "$object does not match the SHA-256 in the manifest."
  echo "== $object"
  cat "$work/object"
done
