import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../support/free-port.ts';
import { eventually } from '../support/server.ts';

export interface LocalServer {
  readonly url: string;
  readonly key: string;
  readonly dataDir: string;
  stop(): Promise<void>;
}

/** Starts a server in local mode as its own process, with its database and S3 in a folder. */
export const startLocalServer = async (): Promise<LocalServer> => {
  const dataDir = await mkdtemp(join(tmpdir(), 'sluice-local-'));
  // If other users could not enter the folder, root's PostgreSQL would use another one, which would not be removed.
  await chmod(dataDir, 0o711);
  const port = await freePort();
  const { DATABASE_URL: _, ...inherited } = process.env;
  const child = spawn(process.execPath, [join(import.meta.dirname, '../../src/main.ts')], {
    env: { ...inherited, DATA_DIR: dataDir, PORT: String(port), LOG_LEVEL: 'silent' },
    stdio: 'ignore',
  });
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    await rm(dataDir, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}`;
  try {
    await eventually(
      () =>
        fetch(`${url}/readyz`).then(
          (answer) => answer.ok,
          () => false,
        ),
      (isReady) => isReady,
    );
    return { url, dataDir, key: (await readFile(join(dataDir, 'api-key'), 'utf8')).trim(), stop };
  } catch (error) {
    await stop();
    throw error;
  }
};
