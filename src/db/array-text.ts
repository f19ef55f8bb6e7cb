// Pure: arrays in Postgres text form. The driver writes them too, but looks at each item several times.

const ESCAPED = /[\\"]/g;

/** Of any texts; null is NULL. */
export const arrayText = (items: readonly (string | null)[]): string => {
  let text = '';
  for (const item of items) {
    if (item === null) text += ',NULL';
    else if (item.includes('"') || item.includes('\\')) text += `,"${item.replaceAll(ESCAPED, '\\$&')}"`;
    else text += `,"${item}"`;
  }
  return `{${text.slice(1)}}`;
};

/** Of what never needs quotes: numbers and moments. */
export const plainArrayText = (items: readonly (string | number)[]): string => `{${items.join(',')}}`;
