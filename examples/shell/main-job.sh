#!/usr/bin/env bash
# The main job with curl and jq: usage goes in, a file with its manifest comes out. README.md says how it is started.
# shellcheck disable=SC2016 # what stands in single quotes is GraphQL and jq, and its $ are theirs
set -euo pipefail

url=${SLUICE_URL:-http://127.0.0.1:4000}
key=${SLUICE_KEY:?the secret of a key with the scopes INGEST and JOBS}
destination=${1:-s3://customer-bucket/usage}
stream=${STREAM:-shell-example}
# events: told by the server, over SSE. poll: asked for each second.
wait_by=${WAIT:-events}
wait_seconds=${WAIT_SECONDS:-120}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf '%s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

# send DOCUMENT VARIABLES CURL_OPTIONS...: what the server answers.
# The key comes from a file that is none: in the command line everybody on the machine could read it.
send() {
  jq -n --arg query "$1" --argjson variables "$2" '{$query, $variables}' |
    curl --silent --show-error "$url/graphql" --data-binary @- "${@:3}" \
      -H 'Content-Type: application/json' -H @<(printf 'X-API-Key: %s\n' "$key")
}

# gql DOCUMENT VARIABLES: the data. Sent again after lost connections, 429 and 503, and then as late as Retry-After says:
# so each mutation below is one that may arrive twice. -o, since a retry cannot take back what went to a pipe.
gql() {
  send "$1" "$2" -o "$work/answer" --retry 6 --retry-all-errors --retry-max-time 120 --max-time 60 ||
    fail "There is no answer from $url."
  jq -e '.errors | not' "$work/answer" >/dev/null || fail "$(jq -r '.errors[] | "\(.extensions.code): \(.message)"' "$work/answer")"
  jq -c .data "$work/answer"
}

# Failures that are to be expected are data, and every mutation asks for them.
failure='... on UserError { code message } ... on ValidationError { issues { path code message } }'
# refused ANSWER: ends the script where the answer is such a failure, with every issue in a line.
refused() {
  jq -e 'has("code") | not' <<<"$1" >/dev/null ||
    fail "$(jq -r '"\(.code): \(.message)", (.issues // [] | .[] | "  \(.path | join(".")): \(.message)")' <<<"$1")"
}

# --- usage goes in ------------------------------------------------------------------------------------------------------
# Values are strings: jq and many others make doubles of numbers, and usage is exact.
# The idempotency key names the day, and nothing else makes the records, so a second start today sends the very same.
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
  jq -r '"\(.operation.insertedRecords) records" + if .replayed then ", replayed: they were there already" else "" end' <<<"$answer"
}
echo '== Usage'
add_usage
# The same again, as a sender does that got no answer: counted once.
add_usage

usage=$(gql 'query ($input: UsageInput!) { usage(input: $input) {
  ... on Usage { series { group { values } points { bucketStart value } } } '"$failure"' } }' \
  "$(jq -n --arg stream "$stream" '{input: {meterApiNames: [$stream], aggregationBucket: "DAY", groupBy: ["element"],
    from: (now - 7 * 86400 | todate), to: (now | todate)}}')")
usage=$(jq -c .usage <<<"$usage")
refused "$usage"
jq -r '.series[] | .group[0].values[0] as $element | .points[] | [.bucketStart[:10], $element, .value] | @tsv' <<<"$usage"

# --- the job, and a run of it -------------------------------------------------------------------------------------------
job_name="Daily $stream"
job_variables=$(jq -n --arg name "$job_name" --arg stream "$stream" --arg s3Url "$destination" '{input: {
  jobName: $name, s3Url: $s3Url, format: "CSV", meterApiNames: [$stream], aggregationBucket: "DAY", range: "ago(7d)",
  groupBy: ["region", "element"], cron: "0 2 * * *"}}')
created=$(gql 'mutation ($input: CreateJobInput!) { createJob(input: $input) { ... on Job { id } '"$failure"' } }' "$job_variables")
created=$(jq -c .createJob <<<"$created")
if [[ $(jq -r .code <<<"$created") == CONFLICT ]]; then
  # Names are unique: of an earlier start, or made by a request whose answer was lost. Where it is none of ours, CONFLICT stays.
  found=$(gql 'query ($name: String!) { jobs(search: $name, first: 100) { edges { node { id jobName } } } }' \
    "$(jq -n --arg name "$job_name" '{$name}')")
  created=$(jq -c --arg name "$job_name" --argjson conflict "$created" \
    'first(.jobs.edges[].node | select(.jobName == $name)) // $conflict' <<<"$found")
fi
refused "$created"
job=$(jq -r .id <<<"$created")
# It would run by itself at two each night. A run that arrives twice writes the same keys twice, and doubles nothing.
started=$(gql 'mutation ($input: RunJobInput!) { runJob(input: $input) { ... on Run { id } '"$failure"' } }' \
  "$(jq -n --arg job "$job" '{input: {jobId: $job}}')")
started=$(jq -c .runJob <<<"$started")
refused "$started"
run=$(jq -r .id <<<"$started")
run_variables=$(jq -n --arg id "$run" '{$id}')

echo "== Run $run"
# follow_run: a line for each state, as the server tells of it. Ends with the run, or where the connection does.
follow_run() {
  send 'subscription ($id: ID!) { runUpdated(runId: $id) { status attempt rowsWritten } }' "$run_variables" \
    --no-buffer --max-time "$wait_seconds" -H 'Accept: text/event-stream' |
    while IFS= read -r line; do
      [[ $line == 'data: {'* ]] || continue
      jq -r '.data.runUpdated // empty | "\(.status), \(.rowsWritten) rows"' <<<"${line#data: }"
    done
}
# await_run: asks until the run has ended, and prints it.
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
# Events are the quick way, and asking the sure one: a connection may break, and the state stands in the database.
if [[ $wait_by == events ]]; then follow_run || say 'The events broke off; asking from now on.'; fi
ended=$(await_run)
jq -r .status <<<"$ended"
[[ $(jq -r .status <<<"$ended") == SUCCEEDED ]] || fail "$(jq -r '.error // {} | "\(.code): \(.message)"' <<<"$ended")"

# --- what it wrote ------------------------------------------------------------------------------------------------------
bucket=$(jq -r '.job.s3Url | ltrimstr("s3://") | split("/")[0]' <<<"$ended")
# read_object KEY: Sluice only writes to the bucket, so reading is the reader's own: a folder in local mode, else S3.
read_object() {
  if [[ -n ${S3_DIR:-} ]]; then cat "$S3_DIR/$bucket/$1"; else aws s3 cp "s3://$bucket/$1" -; fi
}
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1; }

manifest_key=$(jq -r .manifestKey <<<"$ended")
echo "== $manifest_key"
read_object "$manifest_key" >"$work/manifest"
jq . "$work/manifest"
# Trust a complete manifest, and what it names by key and SHA-256, and nothing else.
[[ $(jq -r .state "$work/manifest") == complete ]] || fail 'The window is being written again: come back later.'
jq -r '.objects[] | "\(.sha256) \(.key)"' "$work/manifest" | while read -r sha256 object; do
  read_object "$object" >"$work/object"
  [[ $(sha256 <"$work/object") == "$sha256" ]] || fail "$object is not what the manifest names."
  echo "== $object"
  cat "$work/object"
done
