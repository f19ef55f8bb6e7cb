// Pure: records and selectors as CloudZero's clients send them, in all their spellings, and as they are answered.
import { z } from 'zod';
import type { Issue } from '../errors.ts';
import type { FilterEntry, Granularity } from '../streams/inputs.ts';
import { Misshapen, type RecordInput, type SelectorInput } from '../streams/inputs.ts';
import type { LiveRecord } from '../streams/streams.ts';
import { decimal, issuesOf, refuse, word } from './shapes.ts';
import { toRfc3339 } from './timestamps.ts';

const timestamp = z
  .string()
  .transform(toRfc3339)
  .meta({
    description:
      'Any moment of the bucket: RFC 3339, without a zone (UTC), the date alone, or with a blank in the place of the "T".',
    examples: ['2026-01-25T00:00:00Z'],
  });

const granularity = word(['HOURLY', 'DAILY', 'MONTHLY'], 'upper').meta({
  description: "The stream's; the first request fixes it. In any case.",
});

/** Not z.record, which drops a dimension called __proto__. */
const filter = z
  .unknown()
  .transform((value, context): readonly FilterEntry[] => {
    if (value === undefined || value === null || value === '*') return [];
    if (typeof value !== 'object' || Array.isArray(value)) {
      return refuse(context, 'BAD_TYPE', 'Must be an object of lists, or "*".');
    }
    return Object.entries(value).map(([dimension, values]) => {
      if (!Array.isArray(values)) return refuse(context, 'BAD_TYPE', 'Must be a list of strings.', [dimension]);
      const bad = values.findIndex((one) => typeof one !== 'string');
      if (bad >= 0) return refuse(context, 'BAD_TYPE', 'Must be a string.', [dimension, String(bad)]);
      return { dimension, values };
    });
  })
  .meta({
    description:
      'Dimensions with lists of values: exactly those of the stream. Absent, null, {} or "*": it selects everything.',
    override: {
      anyOf: [
        { type: 'object', additionalProperties: { type: 'array', items: { type: 'string' } } },
        { type: 'string', const: '*' },
        { type: 'null' },
      ],
    },
    examples: [{ 'tag:environment': ['prod'] }],
  });

const element = z.string().meta({ description: 'Who used it: a customer, a team, a product.' });
const elementAlias = element.meta({ description: 'Another spelling of element-name.' });

export const recordSchema = z
  .strictObject({
    timestamp,
    granularity,
    filter: filter.optional(),
    'element-name': element.optional(),
    element_name: elementAlias.optional(),
    value: decimal.meta({
      description: '0 or more; at most 38 digits, at most 12 of them decimals. A number keeps its digits too.',
      examples: ['1200.5'],
    }),
  })
  .meta({ id: 'AllocationRecord', description: 'In this bucket of time, this element used this much.' });

export const selectorSchema = z
  .strictObject({
    timestamp,
    granularity,
    filter: filter.optional(),
    'element-name': element.nullish(),
    element_name: elementAlias.nullish(),
  })
  .meta({
    id: 'AllocationSelector',
    description: 'Matches live records: timestamp and granularity always, filter and element-name where given.',
  });

/** What was sent with the name of the element under either spelling. */
interface Spelled {
  readonly 'element-name'?: string | null | undefined;
  readonly element_name?: string | null | undefined;
}

const TWO_ELEMENTS: Issue = {
  path: ['element_name'],
  code: 'TWO_ELEMENTS',
  message: 'Stands beside an element-name: give one of them.',
};
const NO_ELEMENT: Issue = { path: ['element-name'], code: 'REQUIRED', message: 'Is required.' };

const elementIssues = (value: Spelled, required: boolean): Issue[] => {
  const [dashed, underscored] = [value['element-name'], value.element_name];
  if (dashed !== undefined && underscored !== undefined) return [TWO_ELEMENTS];
  return required && dashed === undefined && underscored === undefined ? [NO_ELEMENT] : [];
};

const isObject = (value: unknown): value is Spelled =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const readRecord = (value: unknown): RecordInput | Misshapen => {
  const elements = isObject(value) ? elementIssues(value, true) : [];
  const parsed = recordSchema.safeParse(value, { reportInput: true });
  if (!parsed.success) return new Misshapen([...issuesOf(parsed.error), ...elements]);
  if (elements.length > 0) return new Misshapen(elements);
  const { 'element-name': dashed, element_name: underscored, filter: given = [], ...rest } = parsed.data;
  return { ...rest, filter: given, elementName: dashed ?? underscored ?? '' };
};

export const readSelector = (value: unknown): SelectorInput | Misshapen => {
  const elements = isObject(value) ? elementIssues(value, false) : [];
  const parsed = selectorSchema.safeParse(value, { reportInput: true });
  if (!parsed.success) {
    const issues = issuesOf(parsed.error).map((issue) =>
      issue.code === 'UNKNOWN_FIELD' && issue.path[0] === 'value' ? VALUE_FORBIDDEN : issue,
    );
    return new Misshapen([...issues, ...elements]);
  }
  if (elements.length > 0) return new Misshapen(elements);
  const { 'element-name': dashed, element_name: underscored, filter: given = [], ...rest } = parsed.data;
  return { ...rest, filter: given, elementName: dashed ?? underscored ?? null };
};

const VALUE_FORBIDDEN: Issue = {
  path: ['value'],
  code: 'VALUE_FORBIDDEN',
  message: 'A delete takes no value: it hides records whatever their value.',
};

/** A domain issue's path below a record, in the words of this API. */
export const spellPath = (input: RecordInput | SelectorInput | undefined, path: readonly string[]): string[] => {
  const [field = '', place = '', part, ...rest] = path;
  if (field === 'elementName') return ['element-name'];
  if (field !== 'filter' || place === '') return [...path];
  const name = input?.filter?.[Number(place)]?.dimension ?? place;
  return ['filter', name, ...(part === 'values' ? rest : [])];
};

export const answeredRecord = z
  .object({
    timestamp: z.string().meta({ description: 'The start of the bucket, in UTC.' }),
    granularity: z.enum(['HOURLY', 'DAILY', 'MONTHLY']),
    filter: z.record(z.string(), z.array(z.string())),
    'element-name': z.string(),
    value: z.string().meta({ description: 'The exact sum of its live records.' }),
  })
  .meta({ id: 'LiveRecord' });

/** A live record in the form of the request. */
export const formatRecord = (record: LiveRecord, granularityOf: Granularity): z.input<typeof answeredRecord> => ({
  timestamp: record.bucketStart.toISOString().replace('.000Z', 'Z'),
  granularity: granularityOf,
  filter: Object.fromEntries(record.filter.map(({ dimension, values }) => [dimension, [...values]])),
  'element-name': record.element,
  value: record.value,
});
