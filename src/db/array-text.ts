// Pure: arrays in PostgreSQL's text form. The driver writes them too, but reads each item several times.

const ESCAPED = /[\\"]/g;

/** Array of any texts. An item that is null becomes NULL. */
export function formatArray(items: readonly (string | null)[]): string {
  let text = '';
  for (const item of items) {
    if (item === null) text += ',NULL';
    else if (item.includes('"') || item.includes('\\')) text += `,"${item.replaceAll(ESCAPED, '\\$&')}"`;
    else text += `,"${item}"`;
  }
  return `{${text.slice(1)}}`;
}

/** Array of items that never need quotes: numbers and timestamps. */
export const formatPlainArray = (items: readonly (string | number)[]): string => `{${items.join(',')}}`;
