// Pure: which web pages may call the API from a browser. Never with credentials: keys travel in headers of their own.

type Headers = Readonly<Record<string, string>>;

/** None without an allow-list. An origin that is not on it gets no header, and the browser keeps the answer from it. */
export const corsHeaders = (allowed: readonly string[], origin: string | undefined): Headers => {
  if (allowed.length === 0) return {};
  // Caches have to keep the answers of different origins apart, and those without the headers too.
  if (origin === undefined || !allowed.includes(origin)) return { vary: 'Origin' };
  return {
    vary: 'Origin',
    'access-control-allow-origin': origin,
    'access-control-expose-headers': 'Retry-After, WWW-Authenticate, Link, Deprecation',
  };
};

/** On top of them, for the request with which a browser asks beforehand. */
export const PREFLIGHT_HEADERS: Headers = {
  'access-control-allow-methods': 'GET, POST, PUT, DELETE',
  'access-control-allow-headers': 'content-type, content-encoding, x-api-key, authorization, idempotency-key',
  'access-control-max-age': '3600',
};
