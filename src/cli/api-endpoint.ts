import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isWellFormed } from '../accounts/secrets.ts';
import { ApiError } from '../api-client/errors.ts';
import { defaultDataDirectory } from '../local/data-directory.ts';
import { CommandError, UsageError } from './command-error.ts';

/** The address of the API, and an API key for it. */
export interface ApiEndpoint {
  /** Without a slash at the end. */
  readonly url: string;
  readonly key: string;
  /** The source of the key, for messages. */
  readonly keySource: string;
}

export interface EndpointOptions {
  readonly url?: string;
  readonly keyFile?: string;
}

type Env = Readonly<Record<string, string | undefined>>;

const DEFAULT_PORT = '4000';

/**
 * The address is --url, SLUICE_URL, or this machine with the server's PORT. The key is that of --key-file, API_KEY, or local mode,
 * whose key is in DATA_DIR and is sent to this machine only.
 */
async function findEndpoint(options: EndpointOptions, env: Env): Promise<ApiEndpoint> {
  const text = options.url ?? (env['SLUICE_URL'] || `http://localhost:${env['PORT'] || DEFAULT_PORT}`);
  const url = parseUrl(text);
  if (url === null) {
    const message = `Invalid server URL "${text}". Example: https://sluice.example.com`;
    throw options.url === undefined ? new CommandError(message) : new UsageError(message);
  }
  if (options.keyFile !== undefined) {
    const file = resolveTypedPath(options.keyFile, env);
    return { url, key: await readKey(file), keySource: `in "${file}"` };
  }
  const fromEnv = env['API_KEY']?.trim();
  if (fromEnv) return { url, key: fromEnv, keySource: 'in API_KEY' };
  const advice = 'Name a file that contains one with --key-file, or set API_KEY.';
  if (!isThisMachine(url)) throw new CommandError(`${url} requires an API key. ${advice}`);
  const file = join(resolve(env['DATA_DIR'] || defaultDataDirectory()), 'api-key');
  const key = await readKey(file).catch(() => null);
  if (key === null) throw new CommandError(`No API key found. ${advice} The key of local mode would be in ${file}.`);
  return { url, key, keySource: `of local mode in ${file}` };
}

/** Runs `work` with the endpoint of the options. If the server rejects the key, the error says which key that was. */
export async function withEndpoint(
  options: EndpointOptions,
  env: Env,
  work: (endpoint: ApiEndpoint) => Promise<void>,
): Promise<void> {
  const endpoint = await findEndpoint(options, env);
  try {
    await work(endpoint);
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 'UNAUTHENTICATED') throw error;
    const reason = isWellFormed(endpoint.key) ? 'It is unknown or revoked' : 'Its checksum does not match (typo?)';
    throw new CommandError(`The server at ${endpoint.url} rejected the API key ${endpoint.keySource}. ${reason}.`);
  }
}

/** Resolves a path from where the user typed it: `npm run` changes to the directory of Sluice and sets INIT_CWD. */
export function resolveTypedPath(path: string, env: Env): string {
  return resolve((env['npm_lifecycle_event'] === 'sluice' && env['INIT_CWD']) || '.', path);
}

/** Returns null if the text is not the URL of a server. */
function parseUrl(text: string): string | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || !/^https?:$/.test(url.protocol)) return null;
  // The address of GraphiQL, which ends in /graphql, is accepted too.
  const path = url.pathname.split('/').filter((segment) => segment !== '');
  if (path.at(-1) === 'graphql') path.pop();
  return [url.origin, ...path].join('/');
}

/** Whether requests to the address stay on this machine. */
export function isThisMachine(url: string): boolean {
  return /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(new URL(url).hostname);
}

async function readKey(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new CommandError(`The key file "${file}" cannot be read (${error.code ?? error.message}).`);
  });
  const key = text.trim();
  // Do not send the content of a file that was meant for something else.
  if (!/^[\x21-\x7e]{1,1000}$/.test(key)) {
    throw new CommandError(`The key file "${file}" does not contain an API key, which is one word.`);
  }
  return key;
}
