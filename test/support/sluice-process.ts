import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { eventually } from './server.ts';

// Sluice as its users start it: in processes of its own, with settings from the environment and nothing else in it.

const CHECKOUT = fileURLToPath(new URL('../../', import.meta.url));

/** The operator's commands. */
export const SLUICE_CLI = `${CHECKOUT}src/cli.ts`;

/** The server. */
export const SLUICE_MAIN = `${CHECKOUT}src/main.ts`;

/** The demo. */
export const SLUICE_DEMO = `${CHECKOUT}src/demo.ts`;

export type Settings = Readonly<Record<string, string>>;

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

type EntryPoint = 'cli' | 'main' | 'demo';

export const sluiceEnvironment = (settings: Settings): NodeJS.ProcessEnv => ({
  PATH: process.env['PATH'],
  // Nothing of this machine's own AWS settings.
  HOME: '/nonexistent',
  AWS_EC2_METADATA_DISABLED: 'true',
  // A third of a start is compiling the same modules again.
  NODE_COMPILE_CACHE: join(tmpdir(), 'node-compile-cache'),
  ...settings,
});

/** Runs one to its end. */
export const runSluice = async (entry: EntryPoint, args: readonly string[], settings: Settings): Promise<Outcome> => {
  const child = spawn(process.execPath, [`${CHECKOUT}src/${entry}.ts`, ...args], {
    cwd: CHECKOUT,
    env: sluiceEnvironment(settings),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const impatience = setTimeout(() => child.kill('SIGKILL'), 70_000);
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  clearTimeout(impatience);
  return { code: code as number | null, stdout, stderr };
};

export interface SluiceProcess {
  /** Of the process that was started, and of its group. */
  readonly pid: number;
  readonly stdout: string;
  readonly stderr: string;
  /** To the process alone, as `kill` does. */
  kill(signal: NodeJS.Signals): void;
  /** To its whole group, as the terminal does at Ctrl-C. */
  interrupt(): void;
  /** SIGKILL to the whole group; resolves when all of it is gone. May be called twice. */
  destroy(): Promise<void>;
  /** Waits until the text was said on standard error, and answers all that was. Throws where the process ends before. */
  said(words: string): Promise<string>;
  /** The exit code; null where a signal ended it. */
  readonly ended: Promise<number | null>;
}

const live = new Set<number>();
// Groups of their own outlive a test process that is ended in the middle.
process.on('exit', () => {
  for (const group of live) killGroup(group);
});

const killGroup = (group: number): void => {
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // Nothing of it is left.
  }
};

/** Starts a server as `npm start` does, by npm itself, or with the demo, in a process group of its own. */
export const startSluice = (settings: Settings, by: 'main' | 'npm' | 'demo' = 'main'): SluiceProcess =>
  by === 'npm' ? start('npm', ['start'], settings) : start(process.execPath, [`${CHECKOUT}src/${by}.ts`], settings);

/** Starts an operator's command that takes a while, in a process group of its own. */
export const startCommand = (args: readonly string[], settings: Settings): SluiceProcess =>
  start(process.execPath, [SLUICE_CLI, ...args], settings);

const start = (program: string, args: readonly string[], settings: Settings): SluiceProcess => {
  const child: ChildProcess = spawn(program, args, {
    cwd: CHECKOUT,
    env: sluiceEnvironment(settings),
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { stdout: '', stderr: '' };
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (said.stdout += chunk));
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (said.stderr += chunk));
  const ended = once(child, 'close').then(([code]) => code as number | null);
  const { pid } = child;
  if (pid === undefined) throw new Error(`${program} did not start`);
  live.add(pid);
  void ended.then(() => live.delete(pid));
  return {
    pid,
    get stdout() {
      return said.stdout;
    },
    get stderr() {
      return said.stderr;
    },
    kill: (signal) => void child.kill(signal),
    interrupt: () => void process.kill(-pid, 'SIGINT'),
    destroy: async () => {
      killGroup(pid);
      await ended;
    },
    said: (words) =>
      eventually(
        async () => {
          const there = said.stderr.includes(words);
          if (!there && child.exitCode !== null) throw new Error(`It ended before: ${said.stderr}`);
          return there ? said.stderr : '';
        },
        (all) => all !== '',
        30_000,
      ),
    ended,
  };
};
