// Pure: parses headers in which a client lists what it accepts, with weights (RFC 9110, section 12.4.2).

interface Element {
  readonly name: string;
  /** Without the weight. */
  readonly parameters: readonly string[];
  readonly weight: number;
}

const isWeight = (parameter: string): boolean => parameter.startsWith('q=');

/** The elements of the header, in lower case. */
function parseElements(header: string): Element[] {
  return header.split(',').map((element) => {
    const [name = '', ...parameters] = element.split(';').map((part) => part.trim().toLowerCase());
    const weight = parameters.find(isWeight)?.slice(2);
    return {
      name,
      parameters: parameters.filter((parameter) => !isWeight(parameter)),
      weight: weight === undefined ? 1 : Number(weight) || 0,
    };
  });
}

function parseWeights(header: string): Map<string, number> {
  return new Map(parseElements(header).map(({ name, weight }) => [name, weight]));
}

/** Sorts the elements by weight and removes the weights. Elements with q=0 are left out; without others, any type is taken. */
export function withoutWeights(header: string): string {
  if (!/q=/i.test(header)) return header;
  const taken = parseElements(header).filter(({ weight }) => weight > 0);
  const sorted = taken.toSorted((a, b) => b.weight - a.weight);
  return sorted.map(({ name, parameters }) => [name, ...parameters].join(';')).join(', ') || '*/*';
}

/** Whether the header lists the coding, and does not rule it out with `q=0`. */
export function takesCoding(header: string | undefined, coding: string): boolean {
  return (parseWeights(header ?? '').get(coding) ?? 0) > 0;
}

/** Whether the client is a browser: it accepts HTML, and prefers it to JSON. */
export function prefersHtml(header: string | undefined): boolean {
  const weights = parseWeights(header ?? '');
  const json = Math.max(weights.get('application/json') ?? 0, weights.get('application/graphql-response+json') ?? 0);
  const html = weights.get('text/html') ?? 0;
  return html > 0 && html >= json;
}
