// Pure: records and selectors in the format of CloudZero's clients, in all spellings, and records in responses.
import { z } from 'zod';
import type { Issue } from '../../errors/errors.ts';
import { toRfc3339 } from '../../lib/iso-8601.ts';
import { isExactNumber } from '../../lib/json-numbers.ts';
import {
  type FilterEntry,
  type Granularity,
  MalformedRecord,
  type RecordInput,
  type SelectorInput,
} from '../../streams/pipeline/inputs.ts';
import type { ScopeInput } from '../../streams/pipeline/scope.ts';
import type { LiveRecord } from '../../streams/list-records.ts';
import { NamedStream, nameOf, type StreamOfRecords } from '../stream-from-records.ts';
import { decimal, DIMENSIONS_DOCUMENT, parseCounting, readDimensions, word } from './shapes.ts';
import { addIssue, countIssues, parseInput, toIssues } from '../../validation/zod-issues.ts';

export const timestamp = z
  .unknown()
  .transform((value, context): string => {
    if (typeof value === 'string') return toRfc3339(value);
    if (value === undefined) return addIssue(context, 'REQUIRED', 'Is required.');
    const isNumber = typeof value === 'number' || isExactNumber(value);
    const reason = isNumber ? ' A number such as epoch seconds has no unit.' : '';
    return addIssue(context, 'BAD_TYPE', `Must be a string such as "2026-01-25T00:00:00Z".${reason}`);
  })
  .meta({
    description:
      'Any time in the bucket, in ISO 8601. The offset can be Z, UTC, +01:00, +0100 or +01, and defaults to UTC. A space can replace the T, seconds can be absent or have a fraction, and a date alone and the basic format (20260125T083000Z) are accepted. HOURLY uses the hour in UTC; DAILY and MONTHLY use the date or month as written, in its offset. The bucket must start at most 24 hours from now (MAX_FUTURE_HOURS).',
    override: { type: 'string' },
    examples: ['2026-01-25T00:00:00Z'],
  });

const granularity = word(['HOURLY', 'DAILY', 'MONTHLY'], 'upper').meta({
  description: 'Granularity of the stream, in upper or lower case. The first request to the stream fixes it.',
});

const filter = z
  .unknown()
  .transform((value, context): readonly FilterEntry[] => {
    if (value === undefined || value === null || value === '*') return [];
    if (typeof value !== 'object' || Array.isArray(value)) {
      return addIssue(context, 'BAD_TYPE', 'Must be an object of lists, or "*".');
    }
    return readDimensions(value, context);
  })
  .meta({
    description:
      'The dimensions of the stream, all of them, each with a list of values or one value. If absent, null, {} or "*", the record has no dimensions and applies to all usage.',
    override: { anyOf: [DIMENSIONS_DOCUMENT, { type: 'string', const: '*' }, { type: 'null' }] },
    examples: [{ 'tag:environment': ['prod'] }],
  });

const element = z.string().meta({ description: 'The customer, team or product that used it.' });
const elementAlias = element.meta({ description: 'Another spelling of element-name.' });
/** Older clients repeat the stream in each record. */
const streamName = z
  .string()
  .meta({ description: 'Name of the stream. If present, it must be the stream of the path.' });

export const recordSchema = z
  .strictObject({
    timestamp,
    granularity,
    filter: filter.optional(),
    'element-name': element.optional(),
    element_name: elementAlias.optional(),
    'telemetry-stream': streamName.optional(),
    value: decimal.meta({
      description:
        'Decimal, 0 or more, as a number or a string. At most 38 significant digits and 30 decimals, all of which are kept.',
      examples: ['1200.5'],
    }),
  })
  .meta({
    id: 'AllocationRecord',
    description: 'Usage of one element in one bucket. Either element-name or element_name is required.',
  });

/** A record on the oldest path, which does not contain the stream. */
export const namedRecordSchema = recordSchema
  .extend({ 'telemetry-stream': z.string().meta({ description: 'Name of the stream, the same in every record.' }) })
  .meta({ id: 'NamedAllocationRecord', description: 'A record that contains the name of its stream.' });

export const selectorSchema = z
  .strictObject({
    timestamp,
    granularity,
    filter: filter.optional(),
    'element-name': element.nullish(),
    element_name: elementAlias.nullish(),
    'telemetry-stream': streamName.optional(),
  })
  .meta({
    id: 'AllocationSelector',
    description:
      'Matches live records by timestamp and granularity, and by filter and element-name if they are present.',
  });

export const scopeSchema = z
  .strictObject({
    from: timestamp.meta({ description: 'Start of the scope, inclusive: the start of a bucket of the stream.' }),
    to: timestamp.meta({ description: 'End of the scope, exclusive: the start of a bucket, after from.' }),
    filter: filter.optional(),
    'element-name': element.nullish(),
  })
  .meta({
    id: 'ReplaceScope',
    description:
      'Buckets, and optionally the filter and element, whose live records are hidden before the records are inserted. Every record must lie in the scope.',
  });

/** Returns the scope in a body. Throws ValidationError if its fields have wrong types. */
export function readScope(value: unknown): ScopeInput {
  const { 'element-name': elementName, ...scope } = parseInput(scopeSchema, value, ['scope']);
  return { ...scope, elementName };
}

/** Fields with more than one spelling, or that can also be in the path. */
interface Spelled {
  readonly 'telemetry-stream'?: string | undefined;
  readonly 'element-name'?: string | null | undefined;
  readonly element_name?: string | null | undefined;
}

const TWO_ELEMENTS: Issue = {
  path: ['element_name'],
  code: 'TWO_ELEMENTS',
  message: 'element-name is present too. Send only one of them.',
};

function otherStream(stream: StreamOfRecords): Issue {
  return {
    path: ['telemetry-stream'],
    code: 'OTHER_STREAM',
    message:
      stream instanceof NamedStream
        ? 'Must be the stream of the first record.'
        : 'Must be the stream of the path, or absent.',
  };
}

const NO_STREAM: Issue = {
  path: ['telemetry-stream'],
  code: 'REQUIRED',
  message: 'Is required, because this path does not contain the stream.',
};
const NO_ELEMENT: Issue = { path: ['element-name'], code: 'REQUIRED', message: 'Is required.' };

function spellingIssues(value: Spelled, stream: StreamOfRecords, elementIsRequired: boolean): Issue[] {
  const [dashed, underscored] = [value['element-name'], value.element_name];
  const issues: Issue[] = [];
  if (dashed !== undefined && underscored !== undefined) issues.push(TWO_ELEMENTS);
  if (elementIsRequired && dashed === undefined && underscored === undefined) issues.push(NO_ELEMENT);
  const named = value['telemetry-stream'];
  if (stream instanceof NamedStream && named === undefined) issues.push(NO_STREAM);
  else if ((named ?? nameOf(stream)) !== nameOf(stream)) issues.push(otherStream(stream));
  return issues;
}

const elementOf = (value: Spelled): string | null => value['element-name'] ?? value.element_name ?? null;

function isObject(value: unknown): value is Spelled {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Shared, because a body may contain a million of them. */
const NO_OBJECT = new MalformedRecord([{ path: [], code: 'BAD_TYPE', message: 'Must be an object.' }]);

function parseSpelled<Value>(
  schema: z.ZodType<Value>,
  value: unknown,
  stream: StreamOfRecords,
  options: { readonly elementIsRequired: boolean; readonly isListed: boolean },
): Value | MalformedRecord {
  if (!isObject(value)) return NO_OBJECT;
  const spellings = spellingIssues(value, stream, options.elementIsRequired);
  const parsed = options.isListed ? schema.safeParse(value, { reportInput: true }) : parseCounting(schema, value);
  if (!parsed.success) {
    if ('count' in parsed) return new MalformedRecord([], parsed.count + spellings.length);
    const issues = toIssues(parsed.error.issues, schema).map((issue) =>
      issue.code === 'UNKNOWN_FIELD' && issue.path[0] === 'value' ? VALUE_FORBIDDEN : issue,
    );
    return new MalformedRecord([...issues, ...spellings], countIssues(parsed.error.issues) + spellings.length);
  }
  return spellings.length > 0 ? new MalformedRecord(spellings) : parsed.data;
}

/** @param isListed whether the issues of a bad record are listed, or only counted */
export function readRecord(value: unknown, stream: StreamOfRecords, isListed = true): RecordInput | MalformedRecord {
  const record = parseSpelled(recordSchema, value, stream, { elementIsRequired: true, isListed });
  if (record instanceof MalformedRecord) return record;
  const { timestamp: at, granularity: bucket, filter: given, value: amount } = record;
  return { timestamp: at, granularity: bucket, filter: given, elementName: elementOf(record) ?? '', value: amount };
}

/** @param isListed whether the issues of a bad selector are listed, or only counted */
export function readSelector(
  value: unknown,
  stream: StreamOfRecords,
  isListed = true,
): SelectorInput | MalformedRecord {
  const selector = parseSpelled(selectorSchema, value, stream, { elementIsRequired: false, isListed });
  if (selector instanceof MalformedRecord) return selector;
  const { timestamp: at, granularity: bucket, filter: given } = selector;
  return { timestamp: at, granularity: bucket, filter: given, elementName: elementOf(selector) };
}

const VALUE_FORBIDDEN: Issue = {
  path: ['value'],
  code: 'VALUE_FORBIDDEN',
  message: 'Is not allowed in a delete, which hides records regardless of their value.',
};

/** Converts the path of a domain issue below a record to the field names of this API. */
export function spellPath(input: RecordInput | SelectorInput | undefined, path: readonly string[]): string[] {
  const [field = '', place = '', part, ...rest] = path;
  if (field === 'elementName') return ['element-name'];
  if (field !== 'filter' || place === '') return [...path];
  const name = input?.filter?.[Number(place)]?.dimension ?? place;
  return ['filter', name, ...(part === 'values' ? rest : [])];
}

export const answeredRecord = z
  .object({
    timestamp: z.string().meta({ description: 'Start of the bucket, in UTC.' }),
    granularity: z.enum(['HOURLY', 'DAILY', 'MONTHLY']),
    filter: z.record(z.string(), z.array(z.string())),
    'element-name': z.string(),
    value: z.string().meta({ description: 'Exact sum of the live records with this record key.' }),
  })
  .meta({ id: 'LiveRecord' });

/** Converts a live record to the format in which records are sent. */
export function formatRecord(record: LiveRecord, granularityOf: Granularity): z.input<typeof answeredRecord> {
  return {
    timestamp: record.bucketStart.toISOString().replace('.000Z', 'Z'),
    granularity: granularityOf,
    filter: Object.fromEntries(record.filter.map(({ dimension, values }) => [dimension, [...values]])),
    'element-name': record.element,
    value: record.value,
  };
}
