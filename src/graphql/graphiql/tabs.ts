// Pure: the operations that stand ready in GraphiQL, one tab for each part. A tab is called after its first operation;
// where it has several, the run button asks which. GraphiQL sends that one with all fragments of the tab, so each has
// to use them all.

export interface GraphiqlTab {
  readonly query: string;
  readonly variables?: string;
}

const WHO_AM_I = `# Who is calling: the account, and what the key may do.
# The key is the one in the bar above.
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

const SEND_USAGE = `# Usage flows in as records of a stream. The first
# request makes the stream, and fixes its granularity
# and its dimensions. Sum adds to what is there.
mutation SumUsage($records: [AllocationRecordInput!]!) {
  allocationSum(
    input: { stream: "compute-hours", records: $records }
  ) {
    ...Receipt
    ...Refusal
  }
}

# Puts records in the place of those with the same
# bucket, filter and element.
mutation ReplaceUsage(
  $records: [AllocationRecordInput!]!
) {
  allocationReplace(
    input: { stream: "compute-hours", records: $records }
  ) {
    ...Receipt
    ...Refusal
  }
}

# Hides what matches: here everything that hooli has in
# that bucket. A later sum starts from zero.
mutation DeleteUsage(
  $selectors: [AllocationSelectorInput!]!
) {
  allocationDelete(
    input: { stream: "compute-hours", records: $selectors }
  ) {
    ...Receipt
    ...Refusal
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

fragment Refusal on UserError {
  code
  message
  ... on ValidationError {
    issues { path code message }
  }
}
`;

const READ_USAGE = `# What an export of the same settings would contain:
# here by region and element, in days.
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

# The live records of a stream, newest bucket first,
# and its ledger.
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
          kind
          receivedAt
          insertedRecords
          hiddenRecords
        }
      }
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

const EXPORT_JOB = `# Check first: nothing is stored, and you see the
# window, the SQL, the object keys and the first rows.
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

# Then create it. Without cron and
# scheduledTimeInSeconds it would run once, at once.
mutation CreateJob($job: CreateJobInput!) {
  createJob(input: $job) {
    ... on Job { id jobName version nextRuns }
    ... on UserError { code message }
    ... on ValidationError {
      issues { path code message }
    }
  }
}

# The jobs, and what became of their runs.
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

# Runs a job now: put an id of ListJobs in the
# variable jobId.
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
`;

const FOLLOW_RUNS = `# Shows the runs in progress, then each change. GraphiQL
# stops it when you press stop or open another tab here,
# so duplicate the tab of the browser first: start this
# in one of the two, then run RunJob in the other.
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

const KEYS = `# The keys of the account, revoked ones too.
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

# The secret is shown this once.
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

# Within a second it works on no server. Put an id of
# ListKeys in the variable keyId.
mutation RevokeKey($keyId: ID!) {
  revokeApiKey(id: $keyId) {
    ... on ApiKey { name revokedAt }
    ... on UserError { code message }
  }
}

# What the owner of a bucket has to attach to it.
query BucketPolicy {
  bucketPolicy(s3Url: "s3://exports/compute")
}
`;

/** Not a name that the pages in docs/ use: readers run both on one server. */
const STREAM = 'compute-hours';

/** The editor of GraphiQL marks a variable as wrong if a non-null field is missing, even one that has a default. */
const USAGE_DEFAULTS = { sparse: true, timeZone: 'UTC' };

export const DAY_MS = 86_400_000;

/** The examples lie in the days before the given moment, so that they are never in the future. */
export function graphiqlTabs(now: Date): GraphiqlTab[] {
  const today = Math.floor(now.getTime() / DAY_MS) * DAY_MS;
  const day = (offset: number): string => new Date(today + offset * DAY_MS).toISOString().replace('.000Z', 'Z');
  const record = (region: string, elementName: string, value: string) => ({
    timestamp: day(-1),
    granularity: 'DAILY',
    filter: [{ dimension: 'region', values: [region] }],
    elementName,
    value,
  });
  const variables = (values: object): string => JSON.stringify(values, null, 2);
  return [
    { query: WHO_AM_I },
    {
      query: SEND_USAGE,
      variables: variables({
        records: [record('eu', 'hooli', '12.5'), record('us', 'hooli', '4'), record('eu', 'piedpiper', '7.25')],
        selectors: [{ timestamp: day(-1), granularity: 'DAILY', elementName: 'hooli' }],
      }),
    },
    {
      query: READ_USAGE,
      variables: variables({
        input: {
          from: day(-7),
          to: day(1),
          aggregationBucket: 'DAY',
          meterApiNames: [STREAM],
          groupBy: ['region', 'element'],
          ...USAGE_DEFAULTS,
        },
      }),
    },
    {
      query: EXPORT_JOB,
      variables: variables({
        job: {
          jobName: 'Compute hours by region',
          s3Url: 's3://exports/compute',
          format: 'CSV',
          aggregationBucket: 'DAY',
          range: 'ago(7d)',
          meterApiNames: [STREAM],
          groupBy: ['region', 'element'],
          cron: '0 2 * * *',
          ...USAGE_DEFAULTS,
          compression: 'NONE',
          enabled: true,
          minimizeFresh: true,
        },
        jobId: 'an id of ListJobs',
      }),
    },
    { query: FOLLOW_RUNS },
    { query: KEYS, variables: variables({ keyId: 'an id of ListKeys' }) },
  ];
}
