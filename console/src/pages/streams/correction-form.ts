// Pure: the form that corrects the value of one key (bucket, filter and element): its address, and the input of the API.
import type { VariablesOf } from '../../api/graphql.ts';
import type { Problem } from '../../api/problem.ts';
import type { Granularity } from './selection.ts';
import type { LiveRecord, REPLACE_VALUE } from './streams-documents.ts';

/** What the form needs of a stream. */
interface CorrectedStream {
  readonly name: string;
  readonly granularity: Granularity;
  readonly dimensions: readonly string[];
}

export interface CorrectionValues {
  /** As the date, month or time field of the granularity has it: `2026-01-25`, `2026-01`, `2026-01-25T06:00`. */
  readonly bucket: string;
  readonly element: string;
  /** Values of each dimension of the stream, in its order. */
  readonly filter: readonly (readonly string[])[];
  readonly value: string;
}

const BUCKET_LENGTH: Readonly<Record<Granularity, number>> = {
  HOURLY: '2026-01-25T06:00'.length,
  DAILY: '2026-01-25'.length,
  MONTHLY: '2026-01'.length,
};
const REST = '0000-01-01T00:00:00Z';

/** Address of the form for a record. */
export function formatCorrectionAddress(stream: string, { timestamp, elementName, filter, value }: LiveRecord): string {
  const parameters = new URLSearchParams({ bucket: timestamp, element: elementName, value });
  for (const { dimension, values } of filter) {
    for (const one of values) parameters.append('filter', `${dimension}=${one}`);
  }
  return `/streams/${stream}/correct?${parameters.toString()}`;
}

/** Reads the values of an address; empty ones for a key that it does not name. */
export function readCorrection(
  address: URLSearchParams,
  { granularity, dimensions }: Omit<CorrectedStream, 'name'>,
): CorrectionValues {
  const filters = address.getAll('filter');
  return {
    bucket: (address.get('bucket') ?? '').slice(0, BUCKET_LENGTH[granularity]),
    element: address.get('element') ?? '',
    filter: dimensions.map((dimension) =>
      filters.filter((text) => text.startsWith(`${dimension}=`)).map((text) => text.slice(dimension.length + 1)),
    ),
    value: address.get('value') ?? '',
  };
}

/** Returns the input of allocationReplace. */
export function toReplaceInput(
  { name, granularity, dimensions }: CorrectedStream,
  { bucket, element, filter, value }: CorrectionValues,
): VariablesOf<typeof REPLACE_VALUE>['input'] {
  return {
    stream: name,
    records: [
      {
        granularity,
        timestamp: bucket + REST.slice(bucket.length),
        elementName: element,
        filter: dimensions.map((dimension, index) => ({ dimension, values: [...(filter[index] ?? [])] })),
        value: value.trim(),
      },
    ],
  };
}

export interface CorrectionIssues {
  readonly bucket?: string | undefined;
  readonly element?: string | undefined;
  readonly filter: readonly (string | undefined)[];
  readonly value?: string | undefined;
}

/** Fields of the API, as paths of issues, that the form has. */
export const CORRECTION_FIELDS = ['timestamp', 'elementName', 'filter', 'value'].flatMap((field) => [
  `records.0.${field}`,
  `replace.records.0.${field}`,
]);

/** Returns the issues of a preview or a replace by field of the form. */
export function findCorrectionIssues(problem: Problem | null, dimensionCount: number): CorrectionIssues {
  const read = (field: string): string | undefined => {
    const messages = Object.entries(problem?.issues ?? {})
      .filter(([path]) => new RegExp(`^(?:replace\\.)?records\\.0\\.${field}(?:\\.|$)`).test(path))
      .map(([, message]) => message);
    return messages.length === 0 ? undefined : messages.join(' ');
  };
  return {
    bucket: read('timestamp'),
    element: read('elementName'),
    filter: Array.from({ length: dimensionCount }, (_, index) => read(`filter\\.${index}`)),
    value: read('value'),
  };
}

/** Returns the issues that can be found without the server. */
export function validateCorrection({ bucket, value }: CorrectionValues): Omit<CorrectionIssues, 'filter'> {
  return {
    bucket: bucket === '' ? 'Choose the bucket.' : undefined,
    value: /^\s*-?(?:\d+(?:\.\d*)?|\.\d+)\s*$/.test(value) ? undefined : 'Enter a number such as 1200.5.',
  };
}
