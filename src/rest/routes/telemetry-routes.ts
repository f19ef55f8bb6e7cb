import { z } from 'zod';
import { encodeGlobalId } from '../../lib/global-ids.ts';
import { ValidationError } from '../../errors/errors.ts';
import { listRecords } from '../../streams/list-records.ts';
import { deleteStream, findStream, streamNotFound } from '../../streams/streams.ts';
import type { Receipt } from '../../streams/ingest-request.ts';
import type { WriteKind } from '../../streams/pipeline/inputs.ts';
import { pathOf } from '../../http/paths.ts';
import { readString } from '../../http/structured-string.ts';
import { type BodyTarget, ingestBody } from '../ingest-body.ts';
import { limitUpTo, readLimit } from '../pagination.ts';
import {
  answeredRecord,
  formatRecord,
  namedRecordSchema,
  recordSchema,
  scopeSchema,
  selectorSchema,
} from '../schemas/records.ts';
import { type BodyDocument, type Call, parameterOf, type ParameterDocument, type Reply, type Route } from '../route.ts';
import { descriptionOf, parseInput } from '../../validation/zod-issues.ts';

// CloudZero's paths. The descriptions state the differences from CloudZero.

const TELEMETRY = '/unit-cost/v1/telemetry';
const ALLOCATION = `${TELEMETRY}/allocation/{stream}`;
export const STREAM = `${TELEMETRY}/{stream}`;

const receipt = z
  .object({
    message: z.literal('Telemetry accepted'),
    operationId: z.string().meta({ description: 'Id of the operation in the ledger, the same as in GraphQL.' }),
    insertedRecords: z.int(),
    hiddenRecords: z.int().meta({ description: 'Number of earlier records that this write hid.' }),
    replayed: z
      .boolean()
      .meta({ description: 'True if this is the receipt of an earlier request with the same Idempotency-Key.' }),
  })
  .meta({ id: 'AllocationReceipt' });

const idempotencyKey: ParameterDocument = {
  name: 'Idempotency-Key',
  in: 'header',
  schema: z.string().min(1).max(255).optional(),
  description:
    'Unique per account, 1 to 255 characters, never expires. May be a string of RFC 8941: "abc" and abc are the same key. Repeating a request returns the original receipt and writes nothing, also across GraphQL, JSON and NDJSON. Reusing the key with other content is a 409.',
};

function describeBody(schema: z.ZodType, example: object): BodyDocument {
  return {
    required: true,
    description:
      'All records are stored, or none. JSON: at most MAX_BODY_BYTES after decompression. NDJSON: one record per line, without a limit, read as a stream. Both may be compressed (Content-Encoding: gzip, deflate, br).',
    content: {
      'application/json': { schema: z.strictObject({ records: z.array(schema) }), example: { records: [example] } },
      'application/x-ndjson': { schema, example },
    },
  };
}

const scopeParameters: readonly ParameterDocument[] = (['from', 'to'] as const).map((name) => ({
  name,
  in: 'query',
  schema: z.string().optional(),
  description: `${name === 'from' ? 'Start' : 'End'} of the scope, for NDJSON: ${descriptionOf(scopeSchema.shape[name])} A JSON body has \`scope\` instead.`,
}));

function describeReplaceBody(): BodyDocument {
  const { content, ...body } = describeBody(recordSchema, { ...EXAMPLE, value: '1000' });
  const schema = z.strictObject({ records: z.array(recordSchema), scope: scopeSchema.optional() });
  return { ...body, content: { ...content, 'application/json': { ...content['application/json'], schema } } };
}

const EXAMPLE = {
  timestamp: '2026-01-25T00:00:00Z',
  granularity: 'DAILY',
  filter: { 'tag:environment': ['prod'] },
  'element-name': 'hooli',
};

export const STREAM_BUSY =
  'Other writes to the stream took longer than STREAM_WAIT_MS (STREAM_BUSY; nothing was written), the database is unavailable, or the request took too long. With an Idempotency-Key it is safe to retry.';

/** Fields that are the same for all routes that write records. */
export const write = {
  method: 'post',
  family: 'telemetry',
  scope: 'INGEST',
  parameters: [idempotencyKey],
  failures: {
    409: 'An earlier request with other content used the same Idempotency-Key (IDEMPOTENCY_MISMATCH).',
    413: 'The JSON body is too large. Send it in parts or as NDJSON.',
    503: STREAM_BUSY,
    429: 'The API key exceeded INTAKE_RECORDS_PER_SECOND. Retry after the seconds in Retry-After.',
  },
} as const;

export function readTarget(call: Call): BodyTarget {
  return {
    accountId: call.principal.accountId,
    stream: call.parameters['stream'] ?? null,
    idempotencyKey: readIdempotencyKey(call),
    path: [],
  };
}

function readIdempotencyKey({ request }: Call): string | null {
  const value = request.headers['idempotency-key'];
  if (typeof value !== 'string') return null;
  // Node decodes header bytes as Latin-1. Decoded as UTF-8, the key is the same as in GraphQL.
  const key = readString(Buffer.from(value, 'latin1').toString('utf8'));
  if (key !== null) return key;
  const message =
    'Begins with a quote, but is not a string of RFC 8941. Use printable ASCII in quotes, with \\" for a quote and \\\\ for a backslash.';
  throw new ValidationError([{ path: ['Idempotency-Key'], code: 'BAD_TEXT', message }]);
}

export function accepted({ operation, replayed }: Receipt): z.output<typeof receipt> {
  return {
    message: 'Telemetry accepted',
    operationId: encodeGlobalId('AllocationOperation', operation.id),
    insertedRecords: operation.insertedRecords,
    hiddenRecords: operation.hiddenRecords,
    replayed,
  };
}

function writeWith(kind: WriteKind) {
  return async (call: Call): Promise<Reply> => ({ body: accepted(await ingestBody(call, kind, readTarget(call))) });
}

/** Deprecated since the first version: these paths exist for clients that still use them. */
const DEPRECATED_AT = '@1764547200';

/** Handles a sum on a deprecated path. `from` is the start of the successor's path, relative to the path of the request. */
function deprecatedSum(from: string) {
  return async (call: Call): Promise<Reply> => {
    const receipt = await ingestBody(call, 'SUM', readTarget(call));
    // Relative, because a proxy may have removed a prefix from the path. If the path ends with a slash, the reference begins
    // one level higher.
    const up = pathOf(call.request).endsWith('/') ? '../' : '';
    const successor = `${up}${from}${encodeURIComponent(receipt.stream.name)}/sum`;
    return {
      body: accepted(receipt),
      headers: { Deprecation: DEPRECATED_AT, Link: `<${successor}>; rel="successor-version"` },
    };
  };
}

const DEPRECATION_HEADERS = {
  Deprecation: 'Time since which the path is deprecated (RFC 9745).',
  Link: 'URL of the successor with rel="successor-version".',
};

export const success = { status: 200, description: 'The records are stored durably.', schema: receipt } as const;

const writes: Route[] = [
  {
    ...write,
    path: `${ALLOCATION}/sum`,
    operationId: 'allocationSum',
    summary: 'Add records. The value of a record key is the exact sum of its live records',
    body: describeBody(recordSchema, { ...EXAMPLE, value: '1200.5' }),
    success,
    handle: writeWith('SUM'),
  },
  {
    ...write,
    path: ALLOCATION,
    operationId: 'allocationSumDeprecated',
    summary: 'Add records, as .../sum does',
    deprecated: true,
    body: describeBody(recordSchema, { ...EXAMPLE, value: '1200.5' }),
    success: { ...success, headers: DEPRECATION_HEADERS },
    handle: deprecatedSum(''),
  },
  {
    ...write,
    path: TELEMETRY,
    operationId: 'allocationSumOldest',
    summary: 'Add records, as .../sum does, with the stream in each record',
    description: 'Every record must name the same stream in telemetry-stream; otherwise the response is 400.',
    deprecated: true,
    body: describeBody(namedRecordSchema, { ...EXAMPLE, 'telemetry-stream': 'api-calls', value: '1200.5' }),
    success: { ...success, headers: DEPRECATION_HEADERS },
    handle: deprecatedSum('telemetry/allocation/'),
  },
  {
    ...write,
    path: `${ALLOCATION}/replace`,
    operationId: 'allocationReplace',
    summary: 'Replace the records with the same bucket, filter and element, or all records in a scope',
    description:
      'With a scope, the records may be absent: the request then only hides. If the stream does not exist either, the response is 400 with the code NOT_FOUND.',
    parameters: [idempotencyKey, ...scopeParameters],
    body: describeReplaceBody(),
    success,
    handle: writeWith('REPLACE'),
  },
  {
    ...write,
    path: `${ALLOCATION}/delete`,
    operationId: 'allocationDelete',
    summary: 'Hide all live records that match',
    description:
      'If nothing matches, the request succeeds with hiddenRecords 0. If the stream does not exist, the response is 400 with the code NOT_FOUND.',
    body: describeBody(selectorSchema, EXAMPLE),
    success: { status: 201, description: 'The records are hidden.', schema: receipt },
    handle: writeWith('DELETE'),
  },
];

const MAX_RECORDS = 1000;

async function readRecords(call: Call): Promise<Reply> {
  const first = readLimit(call, MAX_RECORDS);
  const name = parameterOf(call, 'stream');
  const { db } = call.services;
  const stream = await findStream(db, call.principal.accountId, name);
  if (!stream) throw streamNotFound(name);
  call.services.keyHasher.enqueue(stream);
  const { rows } = await listRecords(db, stream, { first, most: MAX_RECORDS });
  return { body: { records: rows.map((record) => formatRecord(record, stream.granularity)) } };
}

const forceSchema = z.strictObject({ force: z.boolean().optional() });

async function readForce(call: Call): Promise<boolean> {
  const asked = call.query().get('force');
  if (asked !== null && asked !== 'true' && asked !== 'false') {
    throw new ValidationError([{ path: ['force'], code: 'BAD_VALUE', message: 'Must be true or false.' }]);
  }
  const body = parseInput(forceSchema, (await call.readJson()) ?? {});
  return asked === 'true' || body.force === true;
}

const readsAndDeletes: Route[] = [
  {
    method: 'get',
    path: `${STREAM}/records`,
    family: 'telemetry',
    operationId: 'listRecords',
    summary: 'List live records, newest bucket first',
    scope: 'READ',
    parameters: [
      {
        name: 'limit',
        in: 'query',
        schema: limitUpTo(MAX_RECORDS),
        description: `Maximum number of records, 1 to ${MAX_RECORDS}. Defaults to ${MAX_RECORDS}.`,
      },
    ],
    success: {
      status: 200,
      description: 'The records, in the format in which they are sent.',
      schema: z.object({ records: z.array(answeredRecord) }),
    },
    handle: readRecords,
  },
  {
    method: 'delete',
    path: STREAM,
    family: 'telemetry',
    operationId: 'deleteStream',
    summary: 'Delete a stream and release its name',
    description:
      'A stream with live records is deleted only with force, as query parameter or in the body; otherwise the response is 400. Windows that were delivered with its rows and ended within restateWithin are delivered again without them, by jobs whose restatement is AUTOMATIC.',
    scope: 'ADMIN',
    parameters: [
      {
        name: 'force',
        in: 'query',
        schema: z.enum(['true', 'false']).optional(),
        description: 'Whether to delete live records.',
      },
    ],
    body: {
      required: false,
      description: 'Alternative to the query parameter.',
      content: { 'application/json': { schema: forceSchema, example: { force: true } } },
    },
    success: {
      status: 200,
      description: 'The stream is deleted. Its ledger remains in the database.',
      schema: z.object({ message: z.literal('Stream deleted'), id: z.string(), name: z.string() }),
    },
    failures: { 503: STREAM_BUSY },
    handle: async (call) => {
      const force = await readForce(call);
      const context = { ...call.services, ended: call.ended };
      const stream = await deleteStream(context, call.principal.accountId, parameterOf(call, 'stream'), { force });
      return {
        body: { message: 'Stream deleted', id: encodeGlobalId('Stream', stream.id), name: stream.name },
      };
    },
  },
];

export const telemetryRoutes: readonly Route[] = [...writes, ...readsAndDeletes];

const RESERVED = '"allocation" and "metric" are reserved in this path; streams of these names are served over GraphQL';
const NO_METRICS =
  'Unit metrics are not supported: only allocation streams are served, on the paths with allocation instead of metric';

/** Paths that would otherwise match a route as the name of a stream, with the reason why they are not served. */
export const unservedPaths: readonly {
  readonly methods: 'all' | readonly ('GET' | 'HEAD' | 'DELETE')[];
  readonly path: string;
  readonly reason: string;
}[] = [
  { methods: 'all', path: `${TELEMETRY}/metric`, reason: NO_METRICS },
  { methods: 'all', path: `${TELEMETRY}/metric/*`, reason: NO_METRICS },
  { methods: ['DELETE'], path: `${TELEMETRY}/allocation`, reason: RESERVED },
  { methods: ['GET', 'HEAD'], path: `${TELEMETRY}/allocation/records`, reason: RESERVED },
];
