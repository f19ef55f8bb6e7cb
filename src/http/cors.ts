// Pure: which web pages may call the API from a browser, and what a browser is told of every answer. Never with credentials:
// a key travels in a header, or in connection_init, which no page makes a browser send without the key itself. So nothing
// is done in a person's name that a foreign page asks for, whatever the method and the type of the body.

type Headers = Readonly<Record<string, string>>;

/** None without an allow-list. An origin that is not on it gets no header, and the browser keeps the answer from it. */
export const corsHeaders = (allowed: readonly string[], origin: string | undefined): Headers => {
  if (allowed.length === 0) return {};
  // Caches have to keep the answers of different origins apart, and those without the headers too.
  if (origin === undefined || !allowed.includes(origin)) return { vary: 'Origin' };
  return {
    vary: 'Origin',
    'access-control-allow-origin': origin,
    'access-control-expose-headers': 'Retry-After, WWW-Authenticate, Link, Deprecation, X-Request-Id',
  };
};

/**
 * Whether a WebSocket may be opened. Browsers ask nobody beforehand, but name the page's origin; other clients name none.
 * A page of this server is of the origin that its Host says.
 */
export const maySocketOpen = (
  allowed: readonly string[],
  origin: string | undefined,
  host: string | undefined,
): boolean =>
  origin === undefined || allowed.includes(origin) || (URL.canParse(origin) && new URL(origin).host === host);

/**
 * Of every answer, a page among them or not; pages say more of themselves. No Strict-Transport-Security: this server does
 * not speak TLS, and whatever stands before it and does knows for which names it holds.
 */
export const SAFE_HEADERS: Headers = {
  'x-content-type-options': 'nosniff',
  // A cache that does not know X-API-Key must not give one caller's answer to another.
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
};

/** On top of them, for the request with which a browser asks beforehand. */
export const PREFLIGHT_HEADERS: Headers = {
  'access-control-allow-methods': 'GET, POST, PUT, DELETE',
  'access-control-allow-headers':
    'content-type, content-encoding, x-api-key, authorization, idempotency-key, x-request-id',
  'access-control-max-age': '3600',
};
