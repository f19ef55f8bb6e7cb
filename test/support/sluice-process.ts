import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { eventually } from './server.ts';

// Starts Sluice like its users do: in processes of its own, with settings from an otherwise empty environment.

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

export function sluiceEnvironment(settings: Settings): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    // Hides the AWS settings of this machine.
    HOME: '/nonexistent',
    AWS_EC2_METADATA_DISABLED: 'true',
    // Without the cache, a third of the start is spent compiling the same modules.
    NODE_COMPILE_CACHE: join(tmpdir(), 'node-compile-cache'),
    ...settings,
  };
}

/** Runs an entry point to its end, and kills it after `limitMs`. */
export async function runSluice(
  entry: EntryPoint,
  args: readonly string[],
  settings: Settings,
  limitMs = 110_000,
): Promise<Outcome> {
  const child = spawn(process.execPath, [`${CHECKOUT}src/${entry}.ts`, ...args], {
    cwd: CHECKOUT,
    env: sluiceEnvironment(settings),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const impatience = setTimeout(() => child.kill('SIGKILL'), limitMs);
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  clearTimeout(impatience);
  return { code: code as number | null, stdout, stderr };
}

export interface SluiceProcess {
  /** Id of the process and of its process group. */
  readonly pid: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Sends a signal to the process only, like `kill`. */
  kill(signal: NodeJS.Signals): void;
  /** Sends SIGINT to the whole process group, like a terminal at Ctrl-C. */
  interrupt(): void;
  /** Sends SIGKILL to the whole group. Resolves when all of its processes are gone. May be called twice. */
  destroy(): Promise<void>;
  /** Waits for the text on standard error and returns all output. Throws if the process ends before. */
  said(words: string): Promise<string>;
  /** The exit code; null if a signal ended the process. */
  readonly ended: Promise<number | null>;
}

const live = new Set<number>();
// The process groups would outlive a test process that is killed.
process.on('exit', () => {
  for (const group of live) killGroup(group);
});

function killGroup(group: number): void {
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // The group does not exist any more.
  }
}

/**
 * Starts a server like `npm start`, by npm itself, or with the demo, in a process group of its own.
 *
 * @param checkout directory of the program, with a slash at its end
 */
export function startSluice(
  settings: Settings,
  by: 'main' | 'npm' | 'demo' = 'main',
  checkout: string = CHECKOUT,
): SluiceProcess {
  return by === 'npm'
    ? start('npm', ['start'], settings, checkout)
    : start(process.execPath, [`${checkout}src/${by}.ts`], settings, checkout);
}

/** Starts an operator's command that takes a while, in a process group of its own. */
export function startCommand(args: readonly string[], settings: Settings): SluiceProcess {
  return start(process.execPath, [SLUICE_CLI, ...args], settings);
}

function start(program: string, args: readonly string[], settings: Settings, cwd: string = CHECKOUT): SluiceProcess {
  const child: ChildProcess = spawn(program, args, {
    cwd,
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
        100_000,
      ),
    ended,
  };
}
