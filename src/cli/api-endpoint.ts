import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isWellFormed } from '../accounts/secrets.ts';
import { ApiError } from '../api-client/errors.ts';
import { NotFoundError } from '../errors/errors.ts';
import { defaultDataDirectory } from '../local/data-directory.ts';

/** Where the API is, and the key for it. */
export interface ServerPlace {
  /** Without a slash at its end. */
  readonly url: string;
  readonly key: string;
  /** Where the key was found, for messages. */
  readonly keySource: string;
}

export interface ServerFlags {
  readonly url?: string;
  readonly keyFile?: string;
}

type Env = Readonly<Record<string, string | undefined>>;

const DEFAULT_PORT = '4000';

/**
 * The address: --url, SLUICE_URL, or this machine with the server's PORT. The key: --key-file, API_KEY, or that of local
 * mode below DATA_DIR, which is sent to this machine alone.
 */
const findServer = async (flags: ServerFlags, env: Env): Promise<ServerPlace> => {
  const url = readUrl(flags.url ?? (env['SLUICE_URL'] || `http://localhost:${env['PORT'] || DEFAULT_PORT}`));
  if (flags.keyFile !== undefined) {
    const file = typedPath(flags.keyFile, env);
    return { url, key: await keyIn(file), keySource: `in "${file}"` };
  }
  const fromEnv = env['API_KEY']?.trim();
  if (fromEnv) return { url, key: fromEnv, keySource: 'in API_KEY' };
  if (!isThisMachine(url)) {
    throw new NotFoundError(`A key is needed for ${url}: name a file that holds one with --key-file, or set API_KEY.`);
  }
  const file = join(resolve(env['DATA_DIR'] || defaultDataDirectory()), 'api-key');
  const key = await keyIn(file).catch(() => null);
  if (key !== null) return { url, key, keySource: `of local mode in ${file}` };
  throw new NotFoundError(
    `There is no key: name a file that holds one with --key-file, or set API_KEY. (Local mode keeps its own in ${file}, where DATA_DIR says; none is there.)`,
  );
};

/** Runs `work` with the server that was found. If the server refuses the key, the error says which key that was. */
export const withServer = async (
  flags: ServerFlags,
  env: Env,
  work: (server: ServerPlace) => Promise<void>,
): Promise<void> => {
  const server = await findServer(flags, env);
  try {
    await work(server);
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 'UNAUTHENTICATED') throw error;
    const why = isWellFormed(server.key) ? 'it is wrong or was revoked' : 'it was mistyped, as its checksum shows';
    throw new NotFoundError(`The server at ${server.url} refuses the key ${server.keySource}: ${why}.`);
  }
};

/** A path as the person typed it: `npm run` has gone to the directory of Sluice and says where it came from. */
export const typedPath = (path: string, env: Env): string =>
  resolve((env['npm_lifecycle_event'] === 'sluice' && env['INIT_CWD']) || '.', path);

const readUrl = (text: string): string => {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new NotFoundError(`"${text}" is no address of a server: it is one such as https://sluice.example.com.`);
  }
  // Both are where the API is; whoever copied the address of GraphiQL has the longer one.
  const path = url.pathname.split('/').filter((segment) => segment !== '');
  if (path.at(-1) === 'graphql') path.pop();
  return [url.origin, ...path].join('/');
};

/** Whether nothing leaves it on the way there. */
export const isThisMachine = (url: string): boolean =>
  /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(new URL(url).hostname);

const keyIn = async (file: string): Promise<string> => {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new NotFoundError(`The file "${file}" with the key cannot be read (${error.code ?? error.message}).`);
  });
  const key = text.trim();
  // A header takes no more, and a file that was meant for something else should not be sent anywhere.
  if (!/^[\x21-\x7e]{1,1000}$/.test(key)) throw new NotFoundError(`The file "${file}" holds no key: it is one word.`);
  return key;
};
