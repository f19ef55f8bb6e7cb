import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { takesCoding } from './accept.ts';
import { baseAddress, isConsolePath, renderPage, type LinkedPages } from './console-page.ts';
import { pathOf } from './paths.ts';

/** `npm ci` builds the console into this folder. */
const BUILD = join(import.meta.dirname, '../../console/dist');

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.md': 'text/plain; charset=utf-8',
  '.svg': 'image/svg+xml',
};

const NO_SUCH_FILE = 'The console has no such file. Reload the page: the server may have been updated.\n';
const NOT_BUILT = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sluice</title></head>
<body>
<h1>The console is not built</h1>
<p>Run <code>npm run build:console</code> in the checkout, after <code>npm ci</code>, and reload this page.</p>
</body>
</html>
`;
export const CONSOLE_IS_OFF =
  'The console is switched off (CONSOLE=false). Relative to the base URL of this server, the API is at graphql.\n';

interface BuiltFile {
  readonly headers: Readonly<Record<string, string>>;
  readonly plain: Buffer;
  readonly zipped: Buffer;
}

/** The texts of the documents that the console sends, as a list: console/documents-plugin.ts writes it. The server does not serve it. */
const DOCUMENTS = 'documents.json';

interface Build {
  readonly files: ReadonlyMap<string, BuiltFile>;
  readonly documents: ReadonlySet<string>;
}

async function readBuild(folder: string): Promise<Build> {
  const files = await readFiles(folder);
  const documents = files.get(DOCUMENTS)?.plain.toString() ?? '[]';
  return { files, documents: new Set(JSON.parse(documents) as string[]) };
}

/** The files of the build by their paths below `/console/`. They are read once and shared by all requests. */
async function readFiles(folder: string): Promise<ReadonlyMap<string, BuiltFile>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry): Promise<[string, BuiltFile]> => {
        const absolute = join(entry.parentPath, entry.name);
        const path = absolute.slice(folder.length + 1).replaceAll('\\', '/');
        const plain = await readFile(absolute);
        const headers = {
          'content-type': TYPES[extname(path)] ?? 'application/octet-stream',
          // Names in assets/ contain a hash of the content.
          'cache-control': path.startsWith('assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
          vary: 'Accept-Encoding',
        };
        return [path, { headers, plain, zipped: await promisify(gzip)(plain) }];
      }),
  );
  return new Map(files);
}

export interface ConsoleOptions extends LinkedPages {
  /** Defaults to console/dist. */
  readonly folder?: string;
}

export interface Console {
  /** Serves the page for each address below `/console/`, and the files of the build. */
  readonly handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  /** Reads the build now, not with the first request. A missing build does not fail it. */
  readonly load: () => Promise<void>;
  /** Whether the console sends a document with this text. False until the build is read. */
  readonly sends: (text: string) => boolean;
}

/** The console of a server. It reads the build once. */
export function createConsole({ folder = BUILD, ...pages }: ConsoleOptions): Console {
  let built: Promise<Build> | null = null;
  let documents: ReadonlySet<string> = new Set();
  const findFiles = async (): Promise<Build['files'] | null> => {
    built ??= readBuild(folder);
    try {
      const build = await built;
      documents = build.documents;
      return build.files;
    } catch (error) {
      // The build may be made while the server runs.
      built = null;
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const reply = (status: number, headers: Record<string, string>, body: string | Buffer): void => {
      const bytes = Buffer.from(body);
      response.writeHead(status, { ...headers, 'content-length': bytes.length });
      response.end(request.method === 'HEAD' ? undefined : bytes);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      reply(405, { ...TEXT, allow: 'GET, HEAD' }, 'The console is read with GET.\n');
      return;
    }
    const path = pathOf(request);
    const base = baseAddress(path);
    if (base === null) {
      response.writeHead(308, { location: `console/${(request.url ?? '').slice(path.length)}` }).end();
      return;
    }
    const files = await findFiles();
    const page = files?.get('index.html');
    if (!files || !page) {
      reply(503, { ...TEXT, 'content-type': TYPES['.html'] ?? '', 'cache-control': 'no-store' }, NOT_BUILT);
      return;
    }
    const isZipped = takesCoding(String(request.headers['accept-encoding'] ?? ''), 'gzip');
    const encoding: Record<string, string> = isZipped ? { 'content-encoding': 'gzip' } : {};
    if (isConsolePath(path)) {
      const nonce = randomBytes(16).toString('base64');
      const { html, headers } = renderPage(page.plain.toString(), { base, nonce, ...pages });
      reply(200, { ...headers, ...encoding }, isZipped ? await promisify(gzip)(html) : html);
      return;
    }
    const file = files.get(path.slice('/console/'.length));
    if (file) reply(200, { ...file.headers, ...encoding }, isZipped ? file.zipped : file.plain);
    else reply(404, TEXT, NO_SUCH_FILE);
  };

  return {
    handle,
    load: async () => {
      await findFiles();
    },
    sends: (text) => documents.has(text),
  };
}

const TEXT = { 'content-type': 'text/plain; charset=utf-8' };
