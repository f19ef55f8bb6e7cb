import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';

export interface Outcome {
  /** 0 where it ended well. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** With packages of its own. */
export interface PackageFolder {
  readonly folder: string;
  /** Any command in it. */
  run(command: string, env?: Readonly<Record<string, string>>): Promise<Outcome>;
}

export interface Example extends PackageFolder {
  /** What its README says to type. */
  readonly typed: string;
  /** What its README says to type, in a shell that knows of this server; more variables after it. */
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
      // The Node that runs the tests is the one that the examples ask for.
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

/** One of the folders of examples/, run as somebody would who reads its README. */
export const openExample = async (name: string): Promise<Example> => {
  const folder = join(import.meta.dirname, '../../examples', name);
  const readme = await readFile(join(folder, 'README.md'), 'utf8');
  const block = /```sh\n([\s\S]*?)```/.exec(readme)?.[1];
  if (block === undefined) throw new Error(`examples/${name}/README.md says nowhere how it is started.`);

  const { run } = openFolder(folder);
  return {
    folder,
    typed: block,
    run,
    start: async (server, env = {}) => {
      // As a server in local mode leaves its key for those who may read it.
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

/** Its packages, where they are not there or older than the lock file. */
export const installPackages = async (example: PackageFolder): Promise<void> => {
  const installed = await changedAt(join(example.folder, 'node_modules/.package-lock.json'));
  if (installed >= (await changedAt(join(example.folder, 'package-lock.json')))) return;
  const { code, stderr } = await example.run('npm ci');
  if (code !== 0) throw new Error(`npm ci failed in ${example.folder}: ${stderr}`);
};
