import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { prefersHtml, takesCoding } from '../../http/accept.ts';
import type { Clock } from '../../lib/clock.ts';
import { DAY_MS, graphiqlTabs } from './tabs.ts';

interface Page {
  /** 2.5 MB; uncompressed, the scripts and fonts take 10 MB. */
  readonly zipped: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

export function requestsPage({ method, headers }: IncomingMessage): boolean {
  return method === 'GET' && prefersHtml(headers.accept);
}

/**
 * Returns a function that sends GraphiQL, built from local files only. The page does not contain an API key: the browser reads it
 * from the fragment of the URL, which browsers do not send, or from the input above GraphiQL.
 */
export function createGraphiqlPage(clock: Clock) {
  let rendered: { readonly day: number; readonly page: Promise<Page> } | null = null;
  const currentPage = (): Promise<Page> => {
    const now = clock.now();
    // The examples have timestamps of yesterday.
    const day = Math.floor(now.getTime() / DAY_MS);
    if (rendered?.day === day) return rendered.page;
    const page = renderPage(now);
    rendered = { day, page };
    // Do not cache a failure for the rest of the day.
    page.catch(() => (rendered = null));
    return page;
  };
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { zipped, headers } = await currentPage();
    const isZipped = takesCoding(String(request.headers['accept-encoding'] ?? ''), 'gzip');
    const body = isZipped ? zipped : await promisify(gunzip)(zipped);
    response
      .writeHead(200, { ...headers, 'content-length': body.length, ...(isZipped && { 'content-encoding': 'gzip' }) })
      .end(body);
  };
}

const ICON =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0b6e8f"/>' +
  '<path d="M6 11c4 0 4 3 8 3s4-3 8-3h4M6 17c4 0 4 3 8 3s4-3 8-3h4M6 23c4 0 4 3 8 3s4-3 8-3h4" fill="none" stroke="#fff" stroke-width="2.4" stroke-linecap="round" transform="translate(0 -2)"/></svg>';

async function renderPage(now: Date): Promise<Page> {
  const options = {
    title: 'Sluice',
    favicon: `data:image/svg+xml;base64,${Buffer.from(ICON).toString('base64')}`,
    logo: ICON.replace('<svg ', '<svg width="28" height="28" '),
    subscriptionsProtocol: 'SSE',
    defaultTabs: graphiqlTabs(now),
    // Headers may contain an API key, which localStorage must not contain.
    shouldPersistHeaders: false,
  };
  const [keyBar, ...early] = await Promise.all(['key-bar.html', 'key-bar.js', 'stored-tab.js'].map(readPageFile));
  // 9 MB of source, loaded with the first request for the page.
  const { renderGraphiQL } = await import('@graphql-yoga/render-graphiql');
  const html = renderGraphiQL(options as never)
    .trimStart()
    .replace('<head>', () => `<head>${VIEWPORT}${early.map((script) => `<script>${script}</script>`).join('')}`)
    .replace('<div id="root">', () => `${keyBar}<div id="root">`);
  const body = html.slice(html.indexOf('<div id="root">'));
  const main = body.slice(body.indexOf('<script>') + '<script>'.length, body.lastIndexOf('</script>'));
  return {
    zipped: await promisify(gzip)(html),
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'content-security-policy': formatPolicy([...early, main]),
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      'x-frame-options': 'DENY',
    },
  };
}

const VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">';

const readPageFile = (name: string): Promise<string> => readFile(join(import.meta.dirname, name), 'utf8');

/** Content security policy: this origin only, and no scripts except those of the page and the workers that the editor creates. */
function formatPolicy(scripts: readonly string[]): string {
  return [
    "default-src 'none'",
    `script-src ${scripts.map(formatHashSource).join(' ')} blob:`,
    'worker-src blob:',
    "style-src 'unsafe-inline'",
    'img-src data:',
    'font-src data:',
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

const formatHashSource = (script: string): string => `'sha256-${createHash('sha256').update(script).digest('base64')}'`;
