// Pure: decides which web pages may call the API from a browser, and which headers every response has. Credentials are never
// allowed: a key is sent in a header or in connection_init, which a page can only do if it has the key. So a foreign page
// cannot act for a user, with any method or type of body.

type Headers = Readonly<Record<string, string>>;

/** Returns no headers without an allow-list, or for an origin that is not on it; then the browser withholds the response from the page. */
export function corsHeaders(allowed: readonly string[], origin: string | undefined): Headers {
  if (allowed.length === 0) return {};
  // Caches must not mix the responses for different origins, including those without these headers.
  if (origin === undefined || !allowed.includes(origin)) return { vary: 'Origin' };
  return {
    vary: 'Origin',
    'access-control-allow-origin': origin,
    'access-control-expose-headers': 'Retry-After, WWW-Authenticate, Link, Deprecation, X-Request-Id',
  };
}

/**
 * Whether a WebSocket may be opened. Browsers send no preflight request, but the origin of the page; other clients send none.
 * A page of this server has the origin that the Host header names.
 */
export function maySocketOpen(
  allowed: readonly string[],
  origin: string | undefined,
  host: string | undefined,
): boolean {
  return origin === undefined || allowed.includes(origin) || (URL.canParse(origin) && new URL(origin).host === host);
}

/**
 * Headers of every response; pages add others. Strict-Transport-Security is missing, because this server does not speak TLS:
 * the proxy that does knows the names for which it holds.
 */
export const SAFE_HEADERS: Headers = {
  'x-content-type-options': 'nosniff',
  // A cache that does not know X-API-Key must not return the response of one client to another.
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
};

/** Additional headers of the response to a preflight request. */
export const PREFLIGHT_HEADERS: Headers = {
  'access-control-allow-methods': 'GET, POST, PUT, DELETE',
  'access-control-allow-headers':
    'content-type, content-encoding, x-api-key, authorization, idempotency-key, x-request-id',
  'access-control-max-age': '3600',
};
