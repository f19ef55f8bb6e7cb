// Pure: headers in which a client says what it takes, with weights (RFC 9110, section 12.4.2).

/** The weight of each name that the header lists, in lower case. */
const weightsOf = (header: string): Map<string, number> =>
  new Map(
    header.split(',').map((element) => {
      const [name = '', ...parameters] = element.split(';').map((part) => part.trim().toLowerCase());
      const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
      return [name, weight === undefined ? 1 : Number(weight) || 0];
    }),
  );

/** Whether the header lists the coding, and does not rule it out with `q=0`. */
export const takesCoding = (header: string | undefined, coding: string): boolean =>
  (weightsOf(header ?? '').get(coding) ?? 0) > 0;

/** Whether a browser asks: it lists HTML, and nothing of JSON that it likes better. */
export const prefersHtml = (header: string | undefined): boolean => {
  const weights = weightsOf(header ?? '');
  const json = Math.max(weights.get('application/json') ?? 0, weights.get('application/graphql-response+json') ?? 0);
  const html = weights.get('text/html') ?? 0;
  return html > 0 && html >= json;
};
