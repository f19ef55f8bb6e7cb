import { isWellFormed, MAX_SECRET, MIN_SECRET } from '../accounts/secrets.ts';
import { findAddressProblem } from '../db/database-url.ts';
import { isPrincipalArn } from '../exports/bucket-policy.ts';
import { checked, flag, integer, oneOf, optional, origins, setting, text, url } from './setting.ts';

// The only list of settings. The loader (config.ts), its messages and docs/reference/settings.md (npm run docs) are made from it.

const KIB = 1024;
const MIB = 1024 * KIB;
const MAX_INTEGER = Number.MAX_SAFE_INTEGER;

export const SETTINGS = {
  databaseUrl: setting(
    'DATABASE_URL',
    checked(findAddressProblem),
    'Connection string of PostgreSQL 15 or later. If it is not set, Sluice runs in local mode with its own database and S3.',
    // An empty value is usually a secret that was not found. A server with a new, empty database would seem to have lost all data.
    { ifEmpty: 'is set but empty. Unset it to use local mode' },
  ),
  databaseDirectUrl: setting(
    'DATABASE_DIRECT_URL',
    checked(findAddressProblem),
    'Connection string of PostgreSQL itself, for LISTEN, the queue and migrations. Required if DATABASE_URL is a connection pooler such as PgBouncer.',
    { ifEmpty: 'is set but empty. Unset it unless DATABASE_URL is a connection pooler' },
  ),
  databaseReadUrl: setting(
    'DATABASE_READ_URL',
    checked(findAddressProblem),
    'Connection string of a hot standby of DATABASE_URL. Exports read from it as soon as it has replayed their data.',
    { ifEmpty: 'is set but empty. Unset it to let exports read from DATABASE_URL' },
  ),
  databaseReadWaitMs: setting(
    'DATABASE_READ_WAIT_MS',
    integer(100, 600_000).default(10_000),
    'Milliseconds that an export waits for the standby before it reads from DATABASE_URL.',
  ),
  dataDir: setting('DATA_DIR', optional, 'Directory of the database, the buckets and the key of local mode.', {
    shownDefault: '.sluice (for root /var/lib/sluice)',
  }),
  role: setting(
    'ROLE',
    oneOf('all', 'api', 'worker').default('all'),
    '`api` serves requests, `worker` schedules and executes exports, `all` does both.',
  ),
  host: setting('HOST', text.default('127.0.0.1'), 'Address to listen on.'),
  port: setting('PORT', integer(0, 65_535).default(4000), 'Port to listen on; 0 selects a free port.'),
  keepAliveSeconds: setting(
    'KEEP_ALIVE_SECONDS',
    integer(1, 3600).default(75),
    'Seconds that an idle HTTP connection stays open. Use more than the idle timeout of your load balancer, which is often 60.',
  ),
  headersSeconds: setting(
    'HEADERS_SECONDS',
    integer(1, 3600).default(80),
    'Seconds in which a new connection must send the headers of its first request. Use more than KEEP_ALIVE_SECONDS.',
  ),
  apiKey: setting(
    'API_KEY',
    text
      .min(MIN_SECRET, `must have ${MIN_SECRET} to ${MAX_SECRET} characters`)
      .max(MAX_SECRET, `must have ${MIN_SECRET} to ${MAX_SECRET} characters`)
      // The checksum is checked before a key is looked up, so a key that fails it would never work.
      .refine(isWellFormed, 'looks like a Sluice key, but its checksum does not match. Check it for typing errors')
      .nullable()
      .default(null),
    `Secret of an ADMIN key that Sluice creates in the account \`default\`; ${MIN_SECRET} to ${MAX_SECRET} characters. If the key was revoked, it stays revoked.`,
    { shownDefault: 'none; local mode makes one' },
  ),
  databasePool: setting(
    'DATABASE_POOL',
    integer(1, 1000).default(10),
    'Maximum database connections for requests. A server opens a few more for other purposes: see docs/scale-out.md.',
  ),
  accountPoolShare: setting(
    'ACCOUNT_POOL_SHARE',
    integer(1, 100).default(50),
    'Percentage of DATABASE_POOL that the requests of one account may use at the same time, at least one connection.',
  ),
  streamWaitMs: setting(
    'STREAM_WAIT_MS',
    integer(100, 600_000).default(10_000),
    'Milliseconds that a write waits for other writes to its stream, on all servers, before it fails with 503 and STREAM_BUSY.',
  ),
  statementTimeoutMs: setting(
    'STATEMENT_TIMEOUT_MS',
    integer(100, 3_600_000).default(30_000),
    'Milliseconds after which PostgreSQL cancels a statement of a request. Statements of exports have no limit.',
  ),
  requestTimeoutMs: setting(
    'REQUEST_TIMEOUT_MS',
    integer(100, 3_600_000).default(60_000),
    'Milliseconds after which a request fails with 503. Subscriptions, NDJSON and the time to receive a body are exempt.',
  ),
  awsRegion: setting(
    'AWS_REGION',
    text.default('us-east-1'),
    'Region of the S3 buckets of jobs that name none. The AWS SDK finds the credentials: AWS_ACCESS_KEY_ID and so on, profiles, roles.',
  ),
  s3Endpoint: setting('AWS_ENDPOINT_URL_S3', url('http:', 'https:'), 'Endpoint of an S3-compatible store.', {
    shownDefault: 'endpoint of AWS',
  }),
  s3ForcePathStyle: setting(
    'S3_FORCE_PATH_STYLE',
    flag.default(false),
    'If true, the bucket name is in the path of the URL instead of the host name. Most S3-compatible stores need this.',
  ),
  s3Acl: setting(
    'S3_ACL',
    oneOf('bucket-owner-full-control', 'none').default('bucket-owner-full-control'),
    'ACL sent with each object in the header `x-amz-acl`. `none` sends no ACL, for stores that refuse it: Backblaze B2, Cloudflare R2, Google Cloud Storage.',
  ),
  s3Checksum: setting(
    'S3_CHECKSUM',
    oneOf('sha256', 'none').default('sha256'),
    'Checksum sent with each object in the header `x-amz-checksum-sha256`. `none` sends none, for stores that refuse it. Buckets with Object Lock on AWS need `sha256`.',
  ),
  principalArn: setting(
    'PRINCIPAL_ARN',
    text
      .refine(
        isPrincipalArn,
        'must be the ARN of a role, user or account, such as arn:aws:iam::123456789012:role/sluice, or arn:aws:iam:::user/sluice in an S3-compatible store',
      )
      .nullable()
      .default(null),
    'ARN of the AWS principal that Sluice writes as. The query `bucketPolicy` inserts it into the policy that customers attach.',
  ),
  smtpUrl: setting(
    'SMTP_URL',
    url('smtp:', 'smtps:'),
    'URL of the mail server, for example smtp://user:password@mail.example.com:587.',
    { shownDefault: 'none: no mail is sent' },
  ),
  mailFrom: setting('MAIL_FROM', text.default('sluice@localhost'), 'Sender address of mails.'),
  maxRecords: setting('MAX_RECORDS', integer(1, 1_000_000).default(10_000), 'Maximum records per GraphQL request.'),
  maxBodyBytes: setting(
    'MAX_BODY_BYTES',
    integer(KIB, 1024 * MIB).default(5 * MIB),
    'Maximum bytes of a request body after decompression. NDJSON is exempt.',
  ),
  requestMemory: setting(
    'REQUEST_MEMORY',
    integer(MIB, 64 * KIB * MIB).default(256 * MIB),
    'Maximum bytes of request bodies and WebSocket messages in memory. More requests fail with 503 and Retry-After.',
  ),
  maxAnonymousBodies: setting(
    'MAX_ANONYMOUS_BODIES',
    integer(1, 100_000).default(64),
    'Maximum concurrent GraphQL requests without a valid key. More fail with 503 and Retry-After.',
  ),
  anonymousSeconds: setting(
    'ANONYMOUS_SECONDS',
    integer(1, 3600).default(5),
    'Seconds in which a request must send its headers, and without a valid key its body too.',
  ),
  maxDocumentTokens: setting(
    'MAX_DOCUMENT_TOKENS',
    integer(100, 100_000_000).default(50_000),
    'Maximum tokens of a GraphQL document, and maximum comments of a long one. An inline record has 30 to 70 tokens, a record in variables has none.',
  ),
  maxDocumentDepth: setting(
    'MAX_DOCUMENT_DEPTH',
    integer(1, 1000).default(30),
    'Maximum depth of nested selections in a GraphQL document. The introspection query of GraphiQL has 15.',
  ),
  maxDocumentFields: setting(
    'MAX_DOCUMENT_FIELDS',
    integer(1, 1_000_000).default(1000),
    'Maximum fields and fragments in a GraphQL document.',
  ),
  maxDocumentAliases: setting(
    'MAX_DOCUMENT_ALIASES',
    integer(0, 1_000_000).default(250),
    'Maximum aliased fields in a GraphQL document.',
  ),
  maxDocumentCost: setting(
    'MAX_DOCUMENT_COST',
    integer(1, MAX_INTEGER).default(250_000),
    'Maximum cost of a GraphQL document: 1 per field of the response if all pages are full, 50 per list, 20000 per usage, checkJob or previewBackfill, 10 per slot of nextRuns.',
  ),
  persistedDocumentBytes: setting(
    'PERSISTED_DOCUMENT_BYTES',
    integer(0, 1024 * MIB).default(8 * MIB),
    'Bytes of the cache of automatic persisted queries, which clients send by their SHA-256. 0 disables them.',
  ),
  trustedDocuments: setting(
    'TRUSTED_DOCUMENTS',
    optional,
    'JSON file that maps ids to GraphQL documents, as relay-compiler and GraphQL Code Generator write it. Clients may send the ids instead of the documents.',
  ),
  trustedDocumentsOnly: setting(
    'TRUSTED_DOCUMENTS_ONLY',
    flag.default(false),
    'If true, documents that are not in TRUSTED_DOCUMENTS are rejected, including those of GraphiQL. Those of the console are accepted, unless CONSOLE is false.',
  ),
  maxPageSize: setting(
    'MAX_PAGE_SIZE',
    integer(1, 1000).default(100),
    'Maximum page size of lists, and maximum ids of `nodes`. Raise it above 100 only if you control all clients.',
  ),
  intakeMinBytesPerSecond: setting(
    'INTAKE_MIN_BYTES_PER_SECOND',
    integer(0, 1024 * MIB).default(KIB),
    'Minimum rate of a request body, measured only while Sluice waits for the client. Slower requests fail with 408; 0 disables the check.',
  ),
  intakeMeasuredSeconds: setting(
    'INTAKE_MEASURED_SECONDS',
    integer(1, 3600).default(30),
    'Seconds of waiting for the client over which INTAKE_MIN_BYTES_PER_SECOND is measured.',
  ),
  intakeRecordsPerSecond: setting(
    'INTAKE_RECORDS_PER_SECOND',
    integer(0, 1_000_000_000).default(0),
    'Maximum records per second that one key may send to one server. More fail with 429 and Retry-After.',
    { shownDefault: '0: no limit' },
  ),
  intakeBurst: setting(
    'INTAKE_BURST',
    integer(1, 1_000_000_000_000).default(8_640_000),
    'Records that a key may send in a burst after a pause if INTAKE_RECORDS_PER_SECOND is set.',
  ),
  intakeMaxSeconds: setting(
    'INTAKE_MAX_SECONDS',
    integer(1, 86_400).default(3600),
    'Maximum seconds to receive a request body. The same limit applies to writing an NDJSON upload after its end. Longer requests fail with 408.',
  ),
  intakeHeldBytes: setting(
    'INTAKE_HELD_BYTES',
    integer(0, 1024 * MIB).default(32 * MIB),
    'Bytes of memory for NDJSON sums that wait for the end of their request; one request may use a quarter. The rest waits in the database.',
  ),
  maxFutureHours: setting(
    'MAX_FUTURE_HOURS',
    integer(0, 87_600).default(24),
    'Maximum hours between now and the start of the bucket of a record.',
  ),
  maxFilledRows: setting(
    'MAX_FILLED_ROWS',
    integer(1, MAX_INTEGER).default(1_000_000),
    'Maximum rows that `sparse: false` may fill in.',
  ),
  maxUsageRows: setting(
    'MAX_USAGE_ROWS',
    integer(1, 10_000_000).default(50_000),
    'Maximum rows in the result of a usage query.',
  ),
  maxCatchUp: setting(
    'MAX_CATCH_UP',
    integer(1, 10_000).default(100),
    'Maximum missed and waiting slots of a job that run after downtime. Older slots are recorded as MISSED.',
  ),
  restatementConcurrency: setting(
    'RESTATEMENT_CONCURRENCY',
    integer(1, 10_000).default(8),
    'Maximum restatements in the deployment that have not ended.',
  ),
  restatementsPerAccount: setting(
    'RESTATEMENTS_PER_ACCOUNT',
    integer(1, 10_000).default(4),
    'Maximum restatements of one account that have not ended.',
  ),
  ledgerScanSeconds: setting(
    'LEDGER_SCAN_SECONDS',
    integer(1, 3600).default(5),
    'Shortest interval in seconds at which the ledger of an account is scanned for corrections.',
  ),
  ledgerScanIdleSeconds: setting(
    'LEDGER_SCAN_IDLE_SECONDS',
    integer(1, 86_400).default(60),
    'Longest interval in seconds between two scans of an account: the interval doubles while scans find nothing.',
  ),
  deliveryCheckSeconds: setting(
    'DELIVERY_CHECK_SECONDS',
    integer(1, 86_400).default(600),
    'Seconds after which a check is canceled that computes whether a delivery differs from the ledger. It is repeated later.',
  ),
  maxChangedKeys: setting(
    'MAX_CHANGED_KEYS',
    integer(1, 100_000_000).default(100_000),
    'Maximum changed keys that a check compares with the filters of jobs. Above it, every delivery of the window counts as changed.',
  ),
  previewMaxRecords: setting(
    'PREVIEW_MAX_RECORDS',
    integer(1, 10_000_000).default(100_000),
    'Maximum records that a preview of a correction may insert and hide.',
  ),
  previewLockMs: setting(
    'PREVIEW_LOCK_MS',
    integer(1, 600_000).default(5000),
    'Milliseconds that a preview waits for other writes to its stream before it fails with 503 and STREAM_BUSY.',
  ),
  maxBackfillWindows: setting(
    'MAX_BACKFILL_WINDOWS',
    integer(1, 10_000_000).default(100_000),
    'Maximum windows of one backfill.',
  ),
  correctionRetentionDays: setting(
    'CORRECTION_RETENTION_DAYS',
    integer(1, 36_500).default(400),
    'Days for which corrections of delivered windows are kept. A delivery that was not checked in that time is not checked any more.',
  ),
  partBytes: setting(
    'EXPORT_PART_BYTES',
    integer(KIB, 1024 * MIB).default(64 * MIB),
    'Maximum bytes of a part of an export before compression. In PARQUET, bytes of its rows before they are encoded.',
  ),
  exportConcurrency: setting(
    'EXPORT_CONCURRENCY',
    integer(1, 64).default(4),
    'Maximum runs that a worker executes at the same time.',
  ),
  exportMemory: setting(
    'EXPORT_MEMORY',
    integer(KIB, 64 * KIB * MIB).default(256 * MIB),
    'Bytes of memory for the parts of all running exports of a worker. An export of Parquet takes 64 MiB more than its part.',
  ),
  leaseSeconds: setting(
    'RUN_LEASE_SECONDS',
    integer(2, 3600).default(30),
    'Seconds after which a worker that does not renew the lease of its run loses it. Also the time limit of a PutObject.',
  ),
  heartbeatMs: setting(
    'RUN_HEARTBEAT_MS',
    integer(50, 60_000).default(500),
    'Milliseconds between two renewals of a lease, which also report the progress of the run.',
  ),
  graceSeconds: setting(
    'SHUTDOWN_GRACE_SECONDS',
    integer(0, 3600).default(30),
    'Seconds that running exports and requests may continue after SIGTERM. Then exports are handed over and requests end.',
  ),
  maxSubscriptions: setting(
    'MAX_SUBSCRIPTIONS_PER_KEY',
    integer(1, 1_000_000).default(100),
    'Maximum open subscriptions of one key on one server.',
  ),
  maxSocketOperations: setting(
    'MAX_OPERATIONS_PER_SOCKET',
    integer(1, 1_000_000).default(100),
    'Maximum concurrent queries and mutations on one WebSocket, in addition to subscriptions.',
  ),
  graphiql: setting(
    'GRAPHIQL',
    flag.default(true),
    'Whether browsers get GraphiQL at /graphql. They are redirected there from / if CONSOLE is false.',
  ),
  console: setting(
    'CONSOLE',
    flag.default(true),
    'Whether the console is served below /console/ and browsers are redirected there from /.',
  ),
  introspection: setting(
    'INTROSPECTION',
    flag.default(true),
    'Whether the schema can be introspected. If false, error messages contain no suggestions and GraphiQL has no completion.',
  ),
  docs: setting('DOCS', flag.default(true), 'Whether /docs and /openapi.json describe the REST routes.'),
  corsOrigins: setting(
    'CORS_ORIGINS',
    origins,
    'Comma-separated origins of web pages that may call the API from a browser, including over WebSocket.',
  ),
  otlpEndpoint: setting(
    'OTEL_EXPORTER_OTLP_ENDPOINT',
    url('http:', 'https:'),
    'OpenTelemetry collector for the traces of runs, for example http://localhost:4318. Sluice sends JSON over HTTP to /v1/traces.',
    { shownDefault: 'none: no traces' },
  ),
  otlpTracesEndpoint: setting(
    'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
    url('http:', 'https:'),
    'URL of the collector including the path, used instead of OTEL_EXPORTER_OTLP_ENDPOINT. The SDK reads the other OTEL_EXPORTER_OTLP_* variables and OTEL_RESOURCE_ATTRIBUTES.',
  ),
  logLevel: setting(
    'LOG_LEVEL',
    oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent').default('info'),
    'Minimum level of log lines: `trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`.',
  ),
  logFormat: setting(
    'LOG_FORMAT',
    oneOf('auto', 'pretty', 'json').default('auto'),
    'Format of log lines: `pretty` has one line per run without ids, `json` has every event with ids. `auto` is `pretty` in a terminal and `json` otherwise.',
  ),
} as const;
