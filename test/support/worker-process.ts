import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { TestServer } from './server.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** A worker in a process of its own, which can be stopped and killed like a machine. */
export interface WorkerProcess {
  /** The messages that the worker has logged so far. */
  readonly messages: readonly string[];
  kill(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGTERM'): void;
  /** Resolves when the process has ended. */
  readonly ended: Promise<unknown>;
  /** Sends SIGKILL. Resolves when the process has ended. May be called twice. */
  end(): Promise<void>;
}

/** Starts a worker on the database and the S3 of a test server. Resolves when it is ready. Throws with its output if it ends. */
export async function startWorkerProcess(
  server: Pick<TestServer, 'database' | 's3'>,
  env: Readonly<Record<string, string>>,
): Promise<WorkerProcess> {
  const { database, s3 } = server;
  const child = spawn(process.execPath, [MAIN], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      ROLE: 'worker',
      PORT: '0',
      LOG_FORMAT: 'json',
      DATABASE_URL: database.url,
      AWS_REGION: s3.region,
      AWS_ENDPOINT_URL_S3: s3.endpoint,
      S3_FORCE_PATH_STYLE: 'true',
      AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey,
      ...env,
    },
  });
  const ended = once(child, 'exit');
  const messages: string[] = [];
  const started = new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      const message = line.startsWith('{') ? (JSON.parse(line) as { msg?: string }).msg : line;
      messages.push(message ?? '');
      if (message === 'server started') resolve();
    });
    child.once('exit', () => reject(new Error(`The worker ended: ${messages.join('\n')}`)));
  });
  await started;
  return {
    messages,
    ended,
    kill: (signal) => void child.kill(signal),
    end: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
