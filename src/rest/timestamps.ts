// Pure: the spellings of a moment that senders use, as RFC 3339.

const SPELLING = /^(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d:\d\d(?:\.\d+)?) ?([Zz]|[+-]\d\d:\d\d)?)?$/;

/**
 * RFC 3339 with a zone, of what may lack the zone (UTC then) or the time (midnight), or have a blank in the place of the
 * "T". What is none of these comes back as it is, for the domain to refuse.
 */
export const toRfc3339 = (text: string): string => {
  const match = SPELLING.exec(text);
  if (!match) return text;
  const [, date, time = '00:00:00', zone = 'Z'] = match;
  return `${date}T${time}${zone}`;
};
