import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';

export interface Outcome {
  /** 0 on success. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A folder with its own packages. */
export interface PackageFolder {
  readonly folder: string;
  /** Runs a command in the folder. */
  run(command: string, env?: Readonly<Record<string, string>>): Promise<Outcome>;
}

export interface Example extends PackageFolder {
  /** The shell block of its README. */
  readonly typed: string;
  /** Runs the shell block of its README against a server, with additional variables. */
  start(server: ExampleServer, env?: Readonly<Record<string, string>>): Promise<Outcome>;
}

export interface ExampleServer {
  readonly url: string;
  readonly key: string;
}

const LIMIT_MS = 240_000;

export const openFolder = (folder: string): PackageFolder => {
  const run: PackageFolder['run'] = (command, env = {}) =>
    promisify(execFile)('bash', ['-c', command], {
      cwd: folder,
      // The examples use the Node that runs the tests.
      env: { ...process.env, PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter), ...env },
      timeout: LIMIT_MS,
      maxBuffer: 64 * 1024 * 1024,
    }).then(
      (ended) => ({ code: 0, ...ended }),
      (error: Error & { code?: number | string; stdout?: string; stderr?: string }) => ({
        code: typeof error.code === 'number' ? error.code : 1,
        stdout: error.stdout ?? '',
        stderr: error.stderr ?? error.message,
      }),
    );
  return { folder, run };
};

/** Opens a folder of examples/, which runs as its README describes. */
export const openExample = async (name: string): Promise<Example> => {
  const folder = join(import.meta.dirname, '../../examples', name);
  const readme = await readFile(join(folder, 'README.md'), 'utf8');
  const block = /```sh\n([\s\S]*?)```/.exec(readme)?.[1];
  if (block === undefined) throw new Error(`examples/${name}/README.md has no shell block.`);

  const { run } = openFolder(folder);
  return {
    folder,
    typed: block,
    run,
    start: async (server, env = {}) => {
      // The key is in a file, as in local mode.
      const dataDir = await mkdtemp(join(tmpdir(), 'sluice-example-'));
      try {
        await writeFile(join(dataDir, 'api-key'), `${server.key}\n`);
        return await run(block, { SLUICE_URL: server.url, DATA_DIR: dataDir, ...env });
      } finally {
        await rm(dataDir, { recursive: true, force: true });
      }
    },
  };
};

const changedAt = async (path: string): Promise<number> =>
  stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );

/** Installs the packages if they are missing or older than the lock file. */
export const installPackages = async (example: PackageFolder): Promise<void> => {
  const installed = await changedAt(join(example.folder, 'node_modules/.package-lock.json'));
  if (installed >= (await changedAt(join(example.folder, 'package-lock.json')))) return;
  const { code, stderr } = await example.run('npm ci');
  if (code !== 0) throw new Error(`npm ci failed in ${example.folder}: ${stderr}`);
};
