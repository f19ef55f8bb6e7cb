// Pure: the response at "/": a redirect to the console or to GraphiQL, or a list of the paths that are served. All addresses are
// relative, so they stay right below a path prefix of a proxy.
import { createHash } from 'node:crypto';
import { prefersHtml } from './accept.ts';
import { SAFE_HEADERS } from './cors.ts';

export interface Served {
  /** False on a server that only works in the background. */
  readonly api: boolean;
  readonly graphiql: boolean;
  readonly docs: boolean;
  readonly console: boolean;
}

export interface FrontPage {
  readonly status: 200 | 302;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

interface Entry {
  readonly path: string;
  readonly text: string;
  /** Whether a browser can open it. */
  readonly opens: boolean;
}

function listEntries({ api, graphiql, docs }: Served): Entry[] {
  return [
    ...(api
      ? [
          { path: 'graphql', text: `GraphQL API${graphiql ? '; GraphiQL in a browser' : ''}`, opens: graphiql },
          { path: 'unit-cost/v1/telemetry/...', text: 'REST: allocation telemetry', opens: false },
          { path: 'jobs, runs, backfills', text: 'REST: export jobs, their runs and backfills', opens: false },
        ]
      : []),
    ...(api && docs
      ? [
          { path: 'docs', text: 'description of the REST routes', opens: true },
          { path: 'openapi.json', text: 'the same as OpenAPI 3.1', opens: true },
        ]
      : []),
    { path: 'healthz', text: 'liveness', opens: true },
    { path: 'readyz', text: 'readiness', opens: true },
    { path: 'metrics', text: 'Prometheus metrics', opens: true },
  ];
}

function formatTitle({ api }: Served): string {
  return api ? 'Sluice serves:' : 'This Sluice server only works in the background (ROLE=worker). It serves:';
}

/** `accept` is the header of the request. A HEAD request gets the same headers. */
export function frontPage(served: Served, accept: string | undefined): FrontPage {
  const vary = { vary: 'Accept' };
  const forBrowser = prefersHtml(accept);
  // Browsers keep the fragment of the first address, and with it a key.
  if (forBrowser && served.api && served.console) {
    return { status: 302, headers: { ...vary, location: 'console/', ...TEXT }, body: 'The console is at console/\n' };
  }
  if (forBrowser && served.api && served.graphiql) {
    return { status: 302, headers: { ...vary, location: 'graphql', ...TEXT }, body: 'GraphiQL is at graphql\n' };
  }
  if (forBrowser) return { status: 200, headers: { ...vary, ...HTML }, body: renderHtml(served) };
  return { status: 200, headers: { ...vary, ...TEXT }, body: renderText(served) };
}

function renderText(served: Served): string {
  const entries = listEntries(served);
  const width = Math.max(...entries.map(({ path }) => path.length));
  return [formatTitle(served), '', ...entries.map(({ path, text }) => `  ${path.padEnd(width)}  ${text}`), ''].join(
    '\n',
  );
}

const STYLE =
  ':root{color-scheme:light dark}body{font:16px/1.6 system-ui,sans-serif;margin:10vh auto;max-width:40em;padding:0 1em}' +
  'dt{font-family:ui-monospace,monospace;margin-top:.6em}dd{margin:0}';

function renderHtml(served: Served): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sluice</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<h1>Sluice</h1>
<p>${formatTitle(served)}</p>
<dl>
${listEntries(served)
  .map(({ path, text, opens }) => `<dt>${opens ? `<a href="${path}">${path}</a>` : path}</dt><dd>${text}</dd>`)
  .join('\n')}
</dl>
</body>
</html>
`;
}

const TEXT = { 'content-type': 'text/plain; charset=utf-8' };

const HTML = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': `${SAFE_HEADERS['content-security-policy']}; img-src data:; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  'x-frame-options': 'DENY',
};
