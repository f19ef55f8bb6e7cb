import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Answer } from '../http/responses.ts';

/** Directory of Swagger UI: the page loads nothing from other hosts. */
const ASSETS = dirname(fileURLToPath(import.meta.resolve('swagger-ui-dist/package.json')));

const FILES: Readonly<Record<string, string>> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
};

// All URLs are relative to /docs, so that the page also works below the path prefix of a proxy.
const START = `SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#page',
  deepLinking: true,
  validatorUrl: null,
  tryItOutEnabled: true,
  persistAuthorization: false,
});
`;

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sluice: REST routes</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
`;

const PAGE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'x-frame-options': 'DENY',
};

/** The page at /docs. */
export const DOCS_PAGE: Answer = { status: 200, headers: PAGE_HEADERS, body: PAGE };

const assets = new Map<string, Promise<Buffer>>();

/** Reads a file once, so that slow clients share its memory. */
function readAsset(file: string): Promise<Buffer> {
  const known = assets.get(file);
  if (known) return known;
  const asset = readFile(join(ASSETS, file));
  assets.set(file, asset);
  asset.catch(() => assets.delete(file));
  return asset;
}

/** Returns a file that the page loads; null for other names. */
export async function docsFile(file = ''): Promise<Answer | null> {
  if (file === 'start.js') {
    return { status: 200, headers: { 'content-type': 'text/javascript; charset=utf-8' }, body: START };
  }
  const type = Object.hasOwn(FILES, file) ? FILES[file] : undefined;
  if (type === undefined) return null;
  const headers = { 'content-type': type, 'cache-control': 'public, max-age=86400' };
  return { status: 200, headers, body: await readAsset(file) };
}
