// Pure: which issues the form shows, and at which of its fields.
import { fieldOf } from './job-values.ts';

/** Fields whose value is a list of texts. An issue at one of the texts is shown at the field, with the text. */
const LISTS = /^(meterApiNames|groupBy|filter\.\d+\.values)\.(\d+)$/;

type Values = Readonly<Record<string, unknown>>;

function readPath(values: Values, path: string): unknown {
  return path.split('.').reduce<unknown>((value, part) => (value as Values | undefined)?.[part], values);
}

/** Returns the messages by field of the form, such as `filter.0.values` for the issue `filter.0.values.2`. */
export function placeIssues(
  issues: Readonly<Record<string, string>>,
  values: Values & { readonly frequency: string },
): Record<string, string> {
  const placed: Record<string, string> = {};
  for (const [path, message] of Object.entries(issues)) {
    const [, list = '', index = ''] = LISTS.exec(path) ?? [];
    const isInFilter = path.startsWith('filter.');
    const field = list || (isInFilter ? path : fieldOf(path, values.frequency));
    const shown = list === '' ? message : `“${String(readPath(values, `${list}.${index}`))}”: ${message}`;
    placed[field] = placed[field] === undefined ? shown : `${placed[field]} ${shown}`;
  }
  return placed;
}

/** Returns the issues of the fields that the user changed, so that an empty form shows none. */
export function selectTouched(
  issues: Readonly<Record<string, string>>,
  isTouched: (field: string) => boolean,
): Record<string, string> {
  return Object.fromEntries(Object.entries(issues).filter(([field]) => isTouched(field)));
}
