// Pure: the page of the console: its base address, its content security policy and what the server inserts into the build.

const CONSOLE_PATH = '/console';

/** Pages of the server that the console links to, if they are served. */
export interface LinkedPages {
  readonly graphiql: boolean;
  readonly docs: boolean;
}

/** Whether the path is that of the console or below it. */
export function belongsToConsole(path: string): boolean {
  return path === CONSOLE_PATH || path.startsWith(`${CONSOLE_PATH}/`);
}

/**
 * Returns the address of `/console/` relative to a path below it, which a path prefix of a proxy does not change. Null for
 * `/console`, which has no relative addresses of its own.
 */
export function baseAddress(path: string): string | null {
  if (path === CONSOLE_PATH) return null;
  const depth = path.slice(CONSOLE_PATH.length + 1).split('/').length - 1;
  return depth === 0 ? './' : '../'.repeat(depth);
}

/** Whether the path is an address of the page. The others are files, whose names have an extension. */
export function isConsolePath(path: string): boolean {
  const below = path.slice(CONSOLE_PATH.length + 1);
  return !below.startsWith('assets/') && !/^[\w-]+\.(?:svg|md|html)$/.test(below);
}

interface Inserted extends LinkedPages {
  readonly base: string;
  readonly nonce: string;
}

/** Inserts the base address and the nonce into index.html of the build. */
export function renderPage(built: string, { base, nonce, graphiql, docs }: Inserted) {
  const pages = [...(graphiql ? ['graphiql'] : []), ...(docs ? ['docs'] : [])];
  const html = built
    .replace('<base href="./"', () => `<base href="${base}"`)
    .replaceAll('SLUICE_NONCE', () => nonce)
    .replace('SLUICE_PAGES', () => pages.join(' '));
  const headers: Readonly<Record<string, string>> = {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'content-security-policy': [
      "default-src 'none'",
      "script-src 'self'",
      `style-src 'self' 'nonce-${nonce}'`,
      "img-src 'self' data:",
      "connect-src 'self'",
      "base-uri 'self'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join('; '),
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'x-frame-options': 'DENY',
  };
  return { html, headers };
}
