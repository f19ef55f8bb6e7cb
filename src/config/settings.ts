import { isWellFormed, MAX_SECRET, MIN_SECRET } from '../accounts/secrets.ts';
import { isPrincipalArn } from '../exports/bucket-policy.ts';
import { addressProblem } from '../db/database-url.ts';
import { BadSetting, checked, flag, integer, oneOf, optional, setting, text, url } from './setting.ts';

// The only list of settings. The loader (config.ts), its messages and docs/reference/settings.md (npm run docs) are made from it.

const KIB = 1024;
const MIB = 1024 * KIB;
const MAX_INTEGER = Number.MAX_SAFE_INTEGER;

export const SETTINGS = {
  databaseUrl: setting(
    'DATABASE_URL',
    'none',
    'PostgreSQL 15 or later. Without it Sluice runs in local mode, with a database and an S3 of its own.',
    checked(addressProblem),
    // Mostly a secret that was not found: a server that then takes a new, empty database seems to have lost everything.
    'is set but empty: unset it for local mode',
  ),
  databaseDirectUrl: setting(
    'DATABASE_DIRECT_URL',
    'none',
    'Required if DATABASE_URL is a connection pooler such as PgBouncer: the address of PostgreSQL itself, for LISTEN, the queue and migrations.',
    checked(addressProblem),
    'is set but empty: unset it unless DATABASE_URL is a connection pooler',
  ),
  databaseReadUrl: setting(
    'DATABASE_READ_URL',
    'none',
    'A hot standby of DATABASE_URL, from which exports read their rows as soon as it has them.',
    checked(addressProblem),
    'is set but empty: unset it, and exports read from DATABASE_URL',
  ),
  databaseReadWaitMs: setting(
    'DATABASE_READ_WAIT_MS',
    '10000',
    'How long an export waits for the standby; then it reads from DATABASE_URL.',
    integer(10_000, 100, 600_000),
  ),
  dataDir: setting(
    'DATA_DIR',
    '.sluice (for root /var/lib/sluice)',
    'Where local mode keeps its database, buckets and key.',
    optional,
  ),
  role: setting(
    'ROLE',
    'all',
    'api answers requests, worker schedules and runs exports, all does both.',
    oneOf('all', ['all', 'api', 'worker']),
  ),
  host: setting('HOST', '127.0.0.1', 'The address to listen on.', text('127.0.0.1')),
  port: setting('PORT', '4000', 'The port to listen on; 0 takes a free one.', integer(4000, 0, 65_535)),
  keepAliveSeconds: setting(
    'KEEP_ALIVE_SECONDS',
    '75',
    'Seconds for which a connection stays open between requests. Keep it above the idle timeout of a load balancer in front, often 60.',
    integer(75, 1, 3600),
  ),
  headersSeconds: setting(
    'HEADERS_SECONDS',
    '80',
    'Seconds that a new connection may take until its first request has its headers. Keep it above KEEP_ALIVE_SECONDS.',
    integer(80, 1, 3600),
  ),
  apiKey: setting(
    'API_KEY',
    'none; local mode makes one',
    'Makes sure that the account default has an ADMIN key with this secret: any 32 characters or more. Once revoked it stays so.',
    (value) => {
      if (value !== undefined && (value.length < MIN_SECRET || value.length > MAX_SECRET))
        throw new BadSetting(`must have ${MIN_SECRET} to ${MAX_SECRET} characters`);
      // The checksum is tested before a key is looked up, so that this one would never open anything.
      if (value !== undefined && !isWellFormed(value))
        throw new BadSetting('has the form of a key that Sluice made, but not its checksum: it was mistyped');
      return value ?? null;
    },
  ),
  databasePool: setting(
    'DATABASE_POOL',
    '10',
    'Connections to the database for requests. A server opens a few more for other purposes; docs/scale-out.md counts them.',
    integer(10, 1, 1000),
  ),
  accountPoolShare: setting(
    'ACCOUNT_POOL_SHARE',
    '50',
    'Percent of DATABASE_POOL that the requests of one account may use at the same time, but at least one connection.',
    integer(50, 1, 100),
  ),
  streamWaitMs: setting(
    'STREAM_WAIT_MS',
    '10000',
    'How long a write waits for other writes to its stream, on this server and others. Then it is answered with 503 and STREAM_BUSY.',
    integer(10_000, 100, 600_000),
  ),
  statementTimeoutMs: setting(
    'STATEMENT_TIMEOUT_MS',
    '30000',
    'A statement of a request that runs longer is ended. Exports have no such limit.',
    integer(30_000, 100, 3_600_000),
  ),
  requestTimeoutMs: setting(
    'REQUEST_TIMEOUT_MS',
    '60000',
    'A request that takes longer is told so and begins nothing more. Not for subscriptions, NDJSON and bodies on their way.',
    integer(60_000, 100, 3_600_000),
  ),
  awsRegion: setting(
    'AWS_REGION',
    'us-east-1',
    'The region of the buckets. Credentials are found as the AWS SDK finds them: AWS_ACCESS_KEY_ID and so on, profiles, roles.',
    text('us-east-1'),
  ),
  s3Endpoint: setting(
    'AWS_ENDPOINT_URL_S3',
    "AWS's own",
    'Another S3: the address of an S3-compatible store.',
    url('http:', 'https:'),
  ),
  s3ForcePathStyle: setting(
    'S3_FORCE_PATH_STYLE',
    'false',
    'true writes the bucket into the path and not into the host name; most S3-compatible stores want that.',
    flag(false),
  ),
  principalArn: setting(
    'PRINCIPAL_ARN',
    'none',
    'The AWS principal that Sluice writes as; bucketPolicy puts it into the policy that customers attach.',
    (value) => {
      if (value !== undefined && !isPrincipalArn(value))
        throw new BadSetting(
          'must be the ARN of a role, user or account, such as arn:aws:iam::123456789012:role/sluice, or arn:aws:iam:::user/sluice in an S3-compatible store',
        );
      return value ?? null;
    },
  ),
  smtpUrl: setting(
    'SMTP_URL',
    'none: no mail is sent',
    'The mail server, e.g. smtp://user:password@mail.example.com:587.',
    url('smtp:', 'smtps:'),
  ),
  mailFrom: setting('MAIL_FROM', 'sluice@localhost', 'The sender of mails.', text('sluice@localhost')),
  maxRecords: setting('MAX_RECORDS', '10000', 'Records in one GraphQL request.', integer(10_000, 1, 1_000_000)),
  maxBodyBytes: setting(
    'MAX_BODY_BYTES',
    '5242880',
    'Bytes of one request body, after decompression.',
    integer(5 * MIB, KIB, 1024 * MIB),
  ),
  requestMemory: setting(
    'REQUEST_MEMORY',
    '268435456',
    'Bytes of request bodies and WebSocket messages that a server holds at the same time; beyond it 503 with Retry-After.',
    integer(256 * MIB, MIB, 64 * KIB * MIB),
  ),
  maxAnonymousBodies: setting(
    'MAX_ANONYMOUS_BODIES',
    '64',
    'GraphQL requests without a valid key that a server reads and answers at the same time; beyond it 503 with Retry-After.',
    integer(64, 1, 100_000),
  ),
  anonymousSeconds: setting(
    'ANONYMOUS_SECONDS',
    '5',
    'Seconds that the headers of a request may take, and headers and body together without a valid key.',
    integer(5, 1, 3600),
  ),
  maxDocumentTokens: setting(
    'MAX_DOCUMENT_TOKENS',
    '50000',
    'Words, numbers and marks in one GraphQL document. A record written into it has 30 to 70; in variables it has none.',
    integer(50_000, 100, 100_000_000),
  ),
  maxDocumentDepth: setting(
    'MAX_DOCUMENT_DEPTH',
    '30',
    'Selections inside one another in a GraphQL document; GraphiQL asks for 15.',
    integer(30, 1, 1000),
  ),
  maxDocumentFields: setting(
    'MAX_DOCUMENT_FIELDS',
    '1000',
    'Fields and fragments that a GraphQL document names.',
    integer(1000, 1, 1_000_000),
  ),
  maxDocumentAliases: setting(
    'MAX_DOCUMENT_ALIASES',
    '250',
    'Fields that a GraphQL document names by another name, and so may ask for more than once.',
    integer(250, 0, 1_000_000),
  ),
  maxDocumentCost: setting(
    'MAX_DOCUMENT_COST',
    '250000',
    'Of one GraphQL document: 1 a field of the answer, all pages full; 50 a list; 20000 a usage or checkJob; 10 a slot of nextRuns.',
    integer(250_000, 1, MAX_INTEGER),
  ),
  persistedDocumentBytes: setting(
    'PERSISTED_DOCUMENT_BYTES',
    '8388608',
    'Bytes of GraphQL documents kept for clients that then send a SHA-256 alone (automatic persisted queries); 0 keeps none.',
    integer(8 * MIB, 0, 1024 * MIB),
  ),
  trustedDocuments: setting(
    'TRUSTED_DOCUMENTS',
    'none',
    'A JSON file of GraphQL documents by ids that clients may send in their place, as relay-compiler and GraphQL Code Generator write it.',
    optional,
  ),
  trustedDocumentsOnly: setting(
    'TRUSTED_DOCUMENTS_ONLY',
    'false',
    'true refuses all documents that are not among TRUSTED_DOCUMENTS, those of GraphiQL too.',
    flag(false),
  ),
  maxPageSize: setting(
    'MAX_PAGE_SIZE',
    '100',
    'Rows of the largest page of a list, and ids in one nodes. More than 100 is for who knows all of the clients.',
    integer(100, 1, 1000),
  ),
  intakeMinBytesPerSecond: setting(
    'INTAKE_MIN_BYTES_PER_SECOND',
    '1024',
    'A request body that comes more slowly is given up with 408; 0 takes any. Only waiting for the sender counts.',
    integer(KIB, 0, 1024 * MIB),
  ),
  intakeMeasuredSeconds: setting(
    'INTAKE_MEASURED_SECONDS',
    '30',
    'Seconds of waiting for the sender over which that is measured.',
    integer(30, 1, 3600),
  ),
  intakeRecordsPerSecond: setting(
    'INTAKE_RECORDS_PER_SECOND',
    '0: as many as come',
    'Records that one key may send to one server each second; more are refused with 429 and Retry-After.',
    integer(0, 0, 1_000_000_000),
  ),
  intakeBurst: setting(
    'INTAKE_BURST',
    '8640000',
    'Records that a key may send at once after a pause, where INTAKE_RECORDS_PER_SECOND is set.',
    integer(8_640_000, 1, 1_000_000_000_000),
  ),
  intakeMaxSeconds: setting(
    'INTAKE_MAX_SECONDS',
    '3600',
    'A request body that takes longer is given up with 408; so is what is done with all its records at the end.',
    integer(3600, 1, 86_400),
  ),
  intakeHeldBytes: setting(
    'INTAKE_HELD_BYTES',
    '33554432',
    'Sums sent as NDJSON wait for the end of their request in memory: up to so many bytes in all, a quarter for one request. Others wait in the database.',
    integer(32 * MIB, 0, 1024 * MIB),
  ),
  maxFutureHours: setting(
    'MAX_FUTURE_HOURS',
    '24',
    'How many hours from now the bucket of a record may start.',
    integer(24, 0, 87_600),
  ),
  maxFilledRows: setting(
    'MAX_FILLED_ROWS',
    '1000000',
    'Rows that sparse false may make.',
    integer(1_000_000, 1, MAX_INTEGER),
  ),
  maxUsageRows: setting(
    'MAX_USAGE_ROWS',
    '50000',
    'Rows that one usage query answers with.',
    integer(50_000, 1, 10_000_000),
  ),
  maxCatchUp: setting(
    'MAX_CATCH_UP',
    '100',
    'Missed and waiting slots of a job that still run after downtime; older ones are recorded as MISSED.',
    integer(100, 1, 10_000),
  ),
  partBytes: setting(
    'EXPORT_PART_BYTES',
    '67108864',
    'Bytes of the largest part of an export, before compression.',
    integer(64 * MIB, KIB, 1024 * MIB),
  ),
  exportConcurrency: setting(
    'EXPORT_CONCURRENCY',
    '4',
    'Runs that a worker executes at the same time.',
    integer(4, 1, 64),
  ),
  exportMemory: setting(
    'EXPORT_MEMORY',
    '268435456',
    'Bytes that the parts of all running exports of a worker may hold together.',
    integer(256 * MIB, KIB, 64 * KIB * MIB),
  ),
  leaseSeconds: setting(
    'RUN_LEASE_SECONDS',
    '30',
    'A worker that was not heard of for so long loses its run. No PutObject may last longer.',
    integer(30, 2, 3600),
  ),
  heartbeatMs: setting(
    'RUN_HEARTBEAT_MS',
    '500',
    'How often a worker renews its lease and tells its progress.',
    integer(500, 50, 60_000),
  ),
  graceSeconds: setting(
    'SHUTDOWN_GRACE_SECONDS',
    '30',
    'How long running exports and requests may go on after SIGTERM before exports are handed over and requests cut off.',
    integer(30, 0, 3600),
  ),
  maxSubscriptions: setting(
    'MAX_SUBSCRIPTIONS_PER_KEY',
    '100',
    'Open subscriptions of one key on one server.',
    integer(100, 1, 1_000_000),
  ),
  maxSocketOperations: setting(
    'MAX_OPERATIONS_PER_SOCKET',
    '100',
    'Queries and mutations under way on one WebSocket, beside its subscriptions.',
    integer(100, 1, 1_000_000),
  ),
  graphiql: setting(
    'GRAPHIQL',
    'true',
    'Whether a browser gets GraphiQL at /graphql, and is led there from /.',
    flag(true),
  ),
  introspection: setting(
    'INTROSPECTION',
    'true',
    'Whether the schema can be asked for. false takes suggestions out of error messages too, and from GraphiQL its help.',
    flag(true),
  ),
  docs: setting('DOCS', 'true', 'Whether the REST routes are described, at /docs and /openapi.json.', flag(true)),
  corsOrigins: setting(
    'CORS_ORIGINS',
    'none',
    'Origins of web pages that may call the API from a browser, over WebSocket too, separated by commas.',
    (value) =>
      (value ?? '')
        .split(',')
        .map((origin) => origin.trim())
        .filter((origin) => origin !== '')
        .map((origin) => {
          if (!URL.canParse(origin) || new URL(origin).origin !== origin)
            throw new BadSetting('must be origins such as https://app.example.com, separated by commas');
          return origin;
        }),
  ),
  otlpEndpoint: setting(
    'OTEL_EXPORTER_OTLP_ENDPOINT',
    'none: no traces',
    'The OpenTelemetry collector that follows runs, e.g. http://localhost:4318; spoken to over HTTP, in JSON, at /v1/traces.',
    url('http:', 'https:'),
  ),
  otlpTracesEndpoint: setting(
    'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
    'none',
    'The same with its path, for traces alone. The other OTEL_EXPORTER_OTLP_* and OTEL_RESOURCE_ATTRIBUTES are read as the SDK does.',
    url('http:', 'https:'),
  ),
  logLevel: setting(
    'LOG_LEVEL',
    'info',
    'trace, debug, info, warn, error, fatal or silent.',
    oneOf('info', ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
  ),
  logFormat: setting(
    'LOG_FORMAT',
    'pretty in a terminal, else json',
    'pretty or json. pretty has one line per run, without ids; json has every event, with ids.',
    oneOf<'auto' | 'pretty' | 'json'>('auto', ['auto', 'pretty', 'json']),
  ),
} as const;
