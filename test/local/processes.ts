import { execFile } from 'node:child_process';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface FoundProcess {
  readonly pid: number;
  readonly command: string;
}

/**
 * Returns every process that works in the directory or names it in its command: the server, its backends, and the shell
 * that watches it. Independent of how src/local finds them.
 */
export async function processesBelow(directory: string): Promise<FoundProcess[]> {
  const found = process.platform === 'linux' ? await fromProc() : await fromPs();
  return found
    .filter(({ pid, command, workingDirectory }) => {
      return pid !== process.pid && (command.includes(directory) || workingDirectory.startsWith(directory));
    })
    .map(({ pid, command }) => ({ pid, command }));
}

async function fromProc() {
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 0);
  return Promise.all(
    pids.map(async (pid) => ({
      pid,
      command: await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''),
      workingDirectory: await readlink(`/proc/${pid}/cwd`).catch(() => ''),
    })),
  );
}

async function fromPs() {
  const { stdout } = await run('ps', ['-axww', '-o', 'pid=,args=']);
  return Array.from(stdout.matchAll(/^\s*(\d+) (.*)$/gm), ([, pid, command = '']) => ({
    pid: Number(pid),
    command,
    workingDirectory: '',
  }));
}

/** Waits until the condition is true, which it evaluates every 20 ms. Throws an error with `what` after 60 s. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within 60 s: ${what}`);
    await delay(20);
  }
}
