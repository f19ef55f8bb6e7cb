import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { Clock } from '../lib/clock.ts';
import { DAY_MS, graphiqlTabs, type GraphiqlTab } from './graphiql-tabs.ts';

interface Page {
  /** 10 MB of scripts and fonts become 2.5. */
  readonly zipped: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

/** What @graphql-yoga/render-graphiql is given; it stands in the page as JSON. */
interface PageOptions {
  readonly title: string;
  readonly favicon: string;
  readonly logo: string;
  readonly subscriptionsProtocol: 'SSE';
  readonly defaultTabs: readonly GraphiqlTab[];
  readonly headers: string;
  readonly shouldPersistHeaders: false;
}

export const asksForPage = ({ method, headers }: IncomingMessage): boolean =>
  method === 'GET' && headers.accept !== undefined && headers.accept.includes('text/html');

/**
 * Answers with GraphiQL, from local files alone. The key of local mode stands in it only for a browser on the same
 * machine that asked by a name of this machine: a page that rebinds its own name to 127.0.0.1 must not read it, and
 * neither must a neighbour where HOST opens the server to the network.
 */
export const createGraphiqlPage = (localKey: string | null, clock: Clock) => {
  const pages = new Map<string | null, { readonly day: number; readonly page: Promise<Page> }>();
  const pageFor = (key: string | null): Promise<Page> => {
    const now = clock.now();
    // Its examples speak of yesterday.
    const day = Math.floor(now.getTime() / DAY_MS);
    const known = pages.get(key);
    if (known?.day === day) return known.page;
    const page = renderPage(key, now);
    pages.set(key, { day, page });
    // A failure must not be the answer of the whole day.
    page.catch(() => pages.delete(key));
    return page;
  };
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { zipped, headers } = await pageFor(isFromHere(request) ? localKey : null);
    const isZipped = /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''));
    const body = isZipped ? zipped : await promisify(gunzip)(zipped);
    response
      .writeHead(200, { ...headers, 'content-length': body.length, ...(isZipped && { 'content-encoding': 'gzip' }) })
      .end(body);
  };
};

const isFromHere = ({ socket, headers }: IncomingMessage): boolean =>
  /^(?:::1|(?:::ffff:)?127\.\d+\.\d+\.\d+)$/.test(socket.remoteAddress ?? '') &&
  /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/i.test(headers.host ?? '');

const ICON =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0b6e8f"/>' +
  '<path d="M6 11c4 0 4 3 8 3s4-3 8-3h4M6 17c4 0 4 3 8 3s4-3 8-3h4M6 23c4 0 4 3 8 3s4-3 8-3h4" fill="none" stroke="#fff" stroke-width="2.4" stroke-linecap="round" transform="translate(0 -2)"/></svg>';

/**
 * GraphiQL 5 draws a tab 568 px from its place as soon as it has the focus, so that a click ends beside it and does
 * nothing: its own rule holds the others in place, this one all.
 */
const STYLE = '.graphiql-tab { transform: none !important }';

const renderPage = async (key: string | null, now: Date): Promise<Page> => {
  const headers = headersWith(key ?? 'your key');
  const options: PageOptions = {
    title: 'Sluice',
    favicon: `data:image/svg+xml;base64,${Buffer.from(ICON).toString('base64')}`,
    logo: ICON.replace('<svg ', '<svg width="28" height="28" '),
    subscriptionsProtocol: 'SSE',
    defaultTabs: graphiqlTabs(now),
    headers,
    // Keys are not left behind in the browser's storage. Tabs without headers of their own get the ones above.
    shouldPersistHeaders: false,
  };
  // 9 MB of source: loaded when the first person asks for the page.
  const { renderGraphiQL } = await import('@graphql-yoga/render-graphiql');
  const html = renderGraphiQL(options as never).replace('</head>', `<style>${STYLE}</style></head>`);
  const script = html.slice(html.indexOf('<script>') + '<script>'.length, html.lastIndexOf('</script>'));
  return {
    zipped: await promisify(gzip)(html),
    headers: {
      'content-type': 'text/html; charset=utf-8',
      // It may hold a key.
      'cache-control': 'no-store',
      'content-security-policy': policy(createHash('sha256').update(script).digest('base64')),
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      'x-frame-options': 'DENY',
    },
  };
};

/** As JSON text inside a script: "<" is spelled so that no key can end the script. */
const headersWith = (key: string): string =>
  JSON.stringify({ 'X-API-Key': key }, null, 2).replaceAll('<', String.raw`\u003c`);

/** Nothing from elsewhere, and no script but the one in the page and the editor's workers, which it makes out of blobs. */
const policy = (scriptSha256: string): string =>
  [
    "default-src 'none'",
    `script-src 'sha256-${scriptSha256}' blob:`,
    'worker-src blob:',
    "style-src 'unsafe-inline'",
    'img-src data:',
    'font-src data:',
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
