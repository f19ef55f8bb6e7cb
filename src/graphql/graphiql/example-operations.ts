// Pure: the example operations of GraphiQL, a document for each tab. GraphiQL names a tab after its first operation, and the run
// button lists the operations of a tab. GraphiQL sends the selected operation with all fragments of the tab, so every operation
// has to use all of them.

export const WHO_AM_I = `# The account and the scopes of the API key in the bar
# above.
query WhoAmI {
  viewer {
    accountName
    key {
      name
      prefix
      scopes
      createdAt
      lastUsedAt
    }
  }
}
`;

export const SEND_USAGE = `# Adds records to a stream. The first request creates the
# stream and sets its granularity and dimensions.
mutation SumUsage($records: [AllocationRecordInput!]!) {
  allocationSum(
    input: { stream: "compute-hours", records: $records }
  ) {
    ...Receipt
    ...Failure
  }
}

# Replaces the records with the same bucket, filter and
# element.
mutation ReplaceUsage(
  $records: [AllocationRecordInput!]!
) {
  allocationReplace(
    input: { stream: "compute-hours", records: $records }
  ) {
    ...Receipt
    ...Failure
  }
}

# Hides the records that match a selector: here all of
# hooli in one bucket. A later sum starts from zero.
mutation DeleteUsage(
  $selectors: [AllocationSelectorInput!]!
) {
  allocationDelete(
    input: { stream: "compute-hours", records: $selectors }
  ) {
    ...Receipt
    ...Failure
  }
}

# Sends a whole day again: hides all records of the scope
# and adds these, in one operation.
mutation ReplaceDay(
  $records: [AllocationRecordInput!]!
  $scope: ReplaceScopeInput!
) {
  allocationReplace(
    input: {
      stream: "compute-hours"
      scope: $scope
      records: $records
    }
  ) {
    ...Receipt
    ...Failure
  }
}

# Undoes an operation, if no later write depends on it. Set
# the variable operationId to an id that ReplaceDay
# returned.
mutation RevertOperation($operationId: ID!) {
  revertOperation(input: { operationId: $operationId }) {
    ...Receipt
    ...Failure
  }
}

# States that all records of buckets that end by then were
# sent. Jobs with completeWithin wait for it.
mutation DeclareComplete($through: DateTime!) {
  declareComplete(
    input: { stream: "compute-hours", through: $through }
  ) {
    ...Receipt
    ...Failure
  }
}

fragment Receipt on AllocationReceipt {
  replayed
  operation {
    id
    kind
    insertedRecords
    hiddenRecords
    receivedAt
  }
  stream {
    name
    granularity
    dimensions
  }
}

fragment Failure on UserError {
  code
  message
  ... on ValidationError {
    issues { path code message }
  }
}
`;

export const READ_USAGE = `# Daily usage by region and element. An export with the
# same settings contains the same values.
query ReadUsage($input: UsageInput!) {
  usage(input: $input) {
    ... on Usage {
      from
      to
      series {
        meterApiName
        group { dimension values }
        total
        points { bucketStart value }
      }
    }
    ... on UserError { code message }
    ... on ValidationError {
      issues { path code message }
    }
  }
}

# The live records of a stream and its ledger, newest
# first.
query ReadRecords {
  stream(name: "compute-hours") {
    name
    granularity
    dimensions
    firstTimestamp
    lastTimestamp
    records(first: 20) {
      edges {
        node {
          timestamp
          elementName
          value
          filter { dimension values }
        }
      }
      pageInfo { hasNextPage endCursor }
    }
    operations(first: 10) {
      edges {
        node {
          id
          kind
          receivedAt
          insertedRecords
          hiddenRecords
        }
      }
    }
  }
}

# The same records as they were after an operation. Usage
# takes asOf too: an operation, a run or a time.
query ReadEarlierRecords($operationId: ID!) {
  stream(name: "compute-hours") {
    records(first: 20, asOf: { operation: $operationId }) {
      edges { node { timestamp elementName value } }
    }
  }
}

# The effect that a write would have. Nothing is stored.
query PreviewWrite($write: CorrectionPreviewInput!) {
  previewCorrection(input: $write) {
    ... on CorrectionPreview {
      insertedRecords
      hiddenRecords
      changedKeys
      valueBefore
      valueAfter
      elements { elementName valueBefore valueAfter }
      staleDeliveries
    }
    ... on UserError { code message }
    ... on ValidationError {
      issues { path code message }
    }
  }
}

query ListStreams {
  streams(first: 20) {
    totalCount
    edges {
      node {
        name
        granularity
        dimensions
        lastTimestamp
      }
    }
  }
}
`;

export const EXPORT_JOB = `# Validates a job without storing it, and shows its
# window, SQL, object keys and first rows.
mutation CheckJob($job: CreateJobInput!) {
  checkJob(input: $job) {
    ... on JobCheck {
      query {
        windowStart
        windowEnd
        meterApiNames
        groupBy
        sql
        parameters
      }
      nextRuns
      nextWindows { windowStart manifestKey }
      objectKeys
      sample
      warnings
    }
    ... on UserError { code message }
    ... on ValidationError {
      issues { path code message }
    }
  }
}

# Creates the job. Without cron and
# scheduledTimeInSeconds it runs once, immediately.
mutation CreateJob($job: CreateJobInput!) {
  createJob(input: $job) {
    ... on Job { id jobName version nextRuns }
    ... on UserError { code message }
    ... on ValidationError {
      issues { path code message }
    }
  }
}

# The jobs and their latest runs.
query ListJobs {
  jobs(first: 10) {
    totalCount
    edges {
      node {
        id
        jobName
        cron
        enabled
        nextRuns(first: 3)
        runs(first: 3) {
          edges {
            node {
              id
              status
              scheduledFor
              manifestKey
              error { code message }
            }
          }
        }
      }
    }
  }
}

# Runs a job now. Set the variable jobId to an id that
# ListJobs returned.
mutation RunJob($jobId: ID!) {
  runJob(input: { jobId: $jobId }) {
    ... on Run {
      id
      status
      scheduledFor
      windowStart
      windowEnd
    }
    ... on UserError { code message }
  }
}

# Delivers the windows of a month, one after the other.
# Windows that were delivered before are skipped.
mutation CreateBackfill($jobId: ID!) {
  createBackfill(
    input: {
      jobId: $jobId
      from: "2026-01-01T00:00:00Z"
      to: "2026-02-01T00:00:00Z"
    }
  ) {
    ... on Backfill { id status windows }
    ... on UserError { code message }
    ... on ValidationError {
      issues { path code message }
    }
  }
}
`;

export const FOLLOW_RUNS = `# Shows the active runs, then each change. GraphiQL ends
# the subscription if you press stop or select another
# tab, so duplicate the browser tab: start this in one
# of the two, then execute RunJob in the other.
subscription FollowRuns {
  runUpdated {
    id
    jobName
    status
    attempt
    rowsWritten
    bytesWritten
    objects { key rows bytes }
    manifestKey
    error { code message retryable }
  }
}

query ListRuns {
  runs(first: 10) {
    totalCount
    edges {
      node {
        id
        jobName
        trigger
        status
        scheduledFor
        startedAt
        finishedAt
        rowsWritten
      }
    }
  }
}
`;

export const DELIVERIES = `# The windows of all jobs, newest first, with the
# revision that the S3 bucket has.
query ListDeliveries {
  deliveries(first: 10) {
    edges {
      node {
        id
        job { id jobName }
        windowStart
        windowEnd
        state
        revision
        deliveredAt
        manifestKey
      }
    }
  }
}

# The parts of a span that the S3 bucket has. Set the
# variable jobId to the id of a job from ListDeliveries.
query Coverage(
  $jobId: ID!
  $from: DateTime!
  $to: DateTime!
) {
  job(id: $jobId) {
    coverage(from: $from, to: $to) {
      delivered { from to }
      gaps { from to }
    }
  }
}

# Delivers a window again, as the next revision. Set the
# variable deliveryId to an id that ListDeliveries
# returned.
mutation Redeliver($deliveryId: ID!) {
  redeliver(deliveryId: $deliveryId) {
    ... on Run { id status windowStart windowEnd }
    ... on UserError { code message }
  }
}
`;

export const KEYS = `# The API keys of the account, including revoked ones.
query ListKeys {
  apiKeys(first: 20) {
    edges {
      node {
        id
        name
        prefix
        scopes
        createdAt
        lastUsedAt
        revokedAt
      }
    }
  }
}

# Creates an API key. Its secret is returned only once.
mutation CreateKey {
  createApiKey(
    input: { name: "Sends usage", scopes: [INGEST] }
  ) {
    ... on NewApiKey {
      secret
      key { id prefix scopes }
    }
    ... on UserError { code message }
  }
}

# Revokes an API key on all servers within a second. Set
# the variable keyId to an id that ListKeys returned.
mutation RevokeKey($keyId: ID!) {
  revokeApiKey(id: $keyId) {
    ... on ApiKey { name revokedAt }
    ... on UserError { code message }
  }
}

# The policy for the owner of an S3 bucket to attach.
query BucketPolicy {
  bucketPolicy(s3Url: "s3://exports/compute")
}

# Writes one object to the bucket, as a run would.
mutation TestDestination {
  testDestination(
    input: { s3Url: "s3://exports/compute" }
  ) {
    ... on DestinationTest { key }
    ... on UserError { code message }
    ... on DestinationError { reason bucketPolicy }
  }
}
`;
