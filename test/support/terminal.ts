import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import {
  sluiceEnvironment,
  SLUICE_CLI,
  SLUICE_DEMO,
  SLUICE_MAIN,
  type Outcome,
  type Settings,
} from './sluice-process.ts';

export interface TerminalOptions {
  readonly columns: number;
  readonly settings: Settings;
  /** When the command is killed. Defaults to 110 seconds. */
  readonly limitMs?: number;
  /** Called with all output so far. The command reads the keys that it types. */
  readonly onOutput?: (all: string, type: (keys: string) => void) => void;
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Runs an operator's command in a terminal made by script(1) of util-linux. Standard output and error are interleaved. */
export function runInTerminal(args: readonly string[], options: TerminalOptions): Promise<Outcome> {
  return runProgram([SLUICE_CLI, ...args], options);
}

/** Starts a server in such a terminal. The caller ends it by typing. */
export function startInTerminal(options: TerminalOptions): Promise<Outcome> {
  return runProgram([SLUICE_MAIN], options);
}

/** Runs the demo to its end in such a terminal. */
export function runDemoInTerminal(options: TerminalOptions): Promise<Outcome> {
  return runProgram([SLUICE_DEMO, '--exit'], options);
}

/** Starts the demo in such a terminal. The caller ends it by typing. */
export function startDemoInTerminal(options: TerminalOptions): Promise<Outcome> {
  return runProgram([SLUICE_DEMO], options);
}

async function runProgram(words: readonly string[], options: TerminalOptions): Promise<Outcome> {
  const command = [process.execPath, ...words].map(quoted).join(' ');
  const child = spawn('script', ['-qec', `stty cols ${options.columns}; exec ${command}`, '/dev/null'], {
    env: { ...sluiceEnvironment(options.settings), TERM: 'xterm-256color' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const impatience = setTimeout(() => child.kill('SIGKILL'), options.limitMs ?? 110_000);
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk;
    options.onOutput?.(stdout, (keys) => child.stdin.write(keys));
  });
  const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'close')]);
  clearTimeout(impatience);
  return { code: code as number | null, stdout: stdout.replaceAll('\r\n', '\n'), stderr };
}
