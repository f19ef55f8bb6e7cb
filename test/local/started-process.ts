import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const RUN_POSTGRES = fileURLToPath(new URL('run-postgres.ts', import.meta.url));

export interface StartedProcess {
  readonly pid: number;
  /** URL of its PostgreSQL. */
  readonly url: string;
  readonly directory: string;
  /** Sends a signal to the process group, as a terminal does. Resolves to the exit code, null after SIGKILL. Can be called twice. */
  end(signal: 'SIGINT' | 'SIGKILL'): Promise<number | null>;
}

/** Runs run-postgres.ts in a separate process group. Throws an error with its output if it ends before it has started. */
export async function startProcess(
  dataDirectory: string,
  shelter: string,
  script: string = RUN_POSTGRES,
): Promise<StartedProcess> {
  const child = spawn(process.execPath, [script, dataDirectory, shelter], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'exit');
  const words: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => words.push(chunk.toString()));
  const [line] = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    once(child, 'close').then(() => Promise.reject(new Error(words.join('')))),
  ]);
  const { url, directory } = JSON.parse(String(line)) as { url: string; directory: string };
  const pid = pidOf(child);
  return {
    pid,
    url,
    directory,
    async end(signal) {
      if (child.exitCode === null && child.signalCode === null) process.kill(-pid, signal);
      await ended;
      return child.exitCode;
    },
  };
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('not started');
  return child.pid;
}
