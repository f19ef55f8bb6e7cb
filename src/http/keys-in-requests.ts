// Pure: finds the API key in a request.

const BEARER = 'bearer';
/** Longer than any key with its scheme. A longer value is not a key and is not parsed. */
const MAX_CARRIED = 2000;
const TOO_LONG = 'too long to be a key';

/** Returns the key from `X-API-Key`, `Authorization: Bearer <key>` or `Authorization: <key>`; null if there is none. */
function secretFrom(apiKey: string | null | undefined, authorization: string | null | undefined): string | null {
  return trimmed(apiKey) ?? withoutScheme(trimmed(authorization));
}

function trimmed(value: string | null | undefined): string | null {
  if (!value) return null;
  return value.length > MAX_CARRIED ? TOO_LONG : value.trim() || null;
}

function withoutScheme(value: string | null): string | null {
  if (value === null || value.slice(0, BEARER.length).toLowerCase() !== BEARER) return value;
  const rest = value.slice(BEARER.length);
  if (rest === '') return null;
  return rest.startsWith(' ') || rest.startsWith('\t') ? rest.trim() || null : value;
}

/** As node:http reads them. */
interface KeyHeaders {
  readonly 'x-api-key'?: string | readonly string[] | undefined;
  readonly authorization?: string | undefined;
}

export function secretFromHeaders(headers: KeyHeaders): string | null {
  const apiKey = headers['x-api-key'];
  return secretFrom(typeof apiKey === 'string' ? apiKey : null, headers.authorization);
}

/** Returns the key from the payload of connection_init, under the same names in any case. */
export function secretFromPayload(payload: Readonly<Record<string, unknown>> | undefined): string | null {
  const byName = new Map(Object.entries(payload ?? {}).map(([name, value]) => [name.toLowerCase(), value]));
  const text = (name: string): string | null => {
    const value = byName.get(name);
    return typeof value === 'string' ? value : null;
  };
  return secretFrom(text('x-api-key'), text('authorization'));
}
