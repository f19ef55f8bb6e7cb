// Pure: parses the URL of a request.

interface Asking {
  readonly url?: string | undefined;
}

/** Without the query. */
export const pathOf = ({ url = '/' }: Asking): string => url.split('?')[0] ?? '/';

/** One trailing slash is ignored in every path that Sluice serves. */
export const withoutSlash = (path: string): string => (path.endsWith('/') ? path.slice(0, -1) : path);

/**
 * If the path ends with a slash, the address without it, relative to that of the request; else null. Documents whose
 * addresses are relative are redirected to it: below `/docs/` the browser would look for `docs/start.js` in `/docs/docs/`.
 */
export function slashlessAddress({ url = '/' }: Asking): string | null {
  const { pathname, search } = new URL(`http://localhost${url}`);
  const path = withoutSlash(pathname);
  return path === pathname ? null : `../${path.slice(path.lastIndexOf('/') + 1)}${search}`;
}

export interface RequestTarget {
  /** In origin form: the path and the query. */
  readonly url: string;
  /** The authority of a target in absolute form, which replaces the Host header (RFC 9112, section 3.2.2); else null. */
  readonly host: string | null;
}

const SCHEMES = ['http://', 'https://'];

/** Servers accept targets in absolute form too: `GET http://host/healthz HTTP/1.1`. */
export function requestTarget(target: string): RequestTarget {
  if (target.startsWith('/')) return { url: target, host: null };
  const scheme = SCHEMES.find((one) => target.slice(0, one.length).toLowerCase() === one);
  if (scheme === undefined) return { url: target, host: null };
  const rest = target.slice(scheme.length);
  const end = rest.search(/[/?#]/);
  const url = end < 0 ? '/' : rest.slice(end);
  return { url: url.startsWith('/') ? url : `/${url}`, host: end < 0 ? rest : rest.slice(0, end) };
}
