import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';

const root = join(import.meta.dirname, '../..');
/** The key of all servers of a measurement, so that one server can read what another one stored. */
export const API_KEY = 'a-key-for-measurements-of-32-characters-and-more';

/** A Sluice server in its own process, started like `npm start`. */
export interface SluiceServer {
  readonly url: string;
  readonly pid: number;
  /** Resident memory in MB, now. Linux only. */
  memoryMb(): Promise<number>;
  /** Peak memory since the last `resetPeak`. */
  peakMemoryMb(): Promise<number>;
  resetPeak(): Promise<void>;
  /** Seconds of CPU time that it has used. */
  cpuSeconds(): Promise<number>;
  stop(): Promise<void>;
}

export async function startServer(env: Readonly<Record<string, string>>): Promise<SluiceServer> {
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { scripts: { start: string } };
  const child = spawn('/bin/sh', ['-c', scripts.start], {
    cwd: root,
    // In its own session like a service, because Linux shares CPU time between sessions, and each backend of PostgreSQL has one.
    detached: true,
    env: {
      PATH: [join(root, 'node_modules/.bin'), process.env['PATH'] ?? ''].join(delimiter),
      API_KEY,
      PORT: '0',
      LOG_LEVEL: 'info',
      LOG_FORMAT: 'json',
      ...env,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const endToo = (): void => void child.kill('SIGTERM');
  process.once('exit', endToo);
  child.once('exit', () => process.off('exit', endToo));
  const url = await listeningUrl(child);
  const pid = child.pid ?? 0;
  const status = async (name: string): Promise<number> => {
    const text = await readFile(`/proc/${pid}/status`, 'utf8');
    return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) / 1024;
  };
  let peak = 0;
  let sampling: NodeJS.Timeout | undefined;
  const sample = async (): Promise<void> => {
    const now = await status('VmRSS').catch(() => 0);
    peak = Math.max(peak, now);
  };
  return {
    url,
    pid,
    memoryMb: () => status('VmRSS'),
    peakMemoryMb: async () => {
      await sample();
      clearInterval(sampling);
      return peak;
    },
    resetPeak: async () => {
      peak = 0;
      clearInterval(sampling);
      // The kernel's own peak (VmHWM) can only be reset with permission to write /proc/PID/clear_refs.
      sampling = setInterval(() => void sample(), 20);
      await sample();
    },
    cpuSeconds: async () => {
      const text = await readFile(`/proc/${pid}/stat`, 'utf8');
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
      // In ticks of 1/100 s: user and system.
      return (Number(fields[11]) + Number(fields[12])) / 100;
    },
    stop: async () => {
      clearInterval(sampling);
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

async function listeningUrl(child: ChildProcess): Promise<string> {
  if (!child.stderr) throw new Error('The server has no standard error.');
  const lines = createInterface({ input: child.stderr });
  const tail: string[] = [];
  return new Promise((resolve, reject) => {
    lines.on('line', (line) => {
      tail.push(line);
      if (tail.length > 5) tail.shift();
      const url = /"url":"([^"]+)"/.exec(line)?.[1];
      if (url !== undefined) resolve(url);
      // Errors of runs and of the database are part of the output of the measurement.
      if (/"level":(?:50|60)|"level":"(?:error|fatal)"/.test(line)) console.error(line);
    });
    child.once('exit', () => reject(new Error(`The server ended:\n${tail.join('\n')}`)));
  });
}
