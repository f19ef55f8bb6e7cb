// Pure: what stands in the URL of a request.

interface Asking {
  readonly url?: string | undefined;
}

/** Without the query. */
export const pathOf = ({ url = '/' }: Asking): string => url.split('?')[0] ?? '/';

export interface RequestTarget {
  /** In origin form: the path and the query. */
  readonly url: string;
  /** The authority of a target in absolute form, which replaces the Host header (RFC 9112, section 3.2.2); else null. */
  readonly host: string | null;
}

const SCHEMES = ['http://', 'https://'];

/** Servers accept targets in absolute form too: `GET http://host/healthz HTTP/1.1`. */
export const requestTarget = (target: string): RequestTarget => {
  if (target.startsWith('/')) return { url: target, host: null };
  const scheme = SCHEMES.find((one) => target.slice(0, one.length).toLowerCase() === one);
  if (scheme === undefined) return { url: target, host: null };
  const rest = target.slice(scheme.length);
  const end = rest.search(/[/?#]/);
  const url = end < 0 ? '/' : rest.slice(end);
  return { url: url.startsWith('/') ? url : `/${url}`, host: end < 0 ? rest : rest.slice(0, end) };
};
