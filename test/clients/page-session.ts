import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../support/free-port.ts';
import { ROOT } from '../support/source-files.ts';
import { type Block, isOutput, type Page, sessionOf } from '../docs/pages.ts';

/** The output of one block, with standard output and error as a terminal shows them. */
export interface BlockOutput {
  readonly block: Block;
  readonly text: string;
  /** Commands that exited with a code other than 0. */
  readonly failed: readonly string[];
}

export interface PageOptions {
  /** Environment variables that replace the reader's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Ports of the page, and the ports that replace them in the test. */
  readonly ports?: Readonly<Record<string, string>>;
  /** False if the page cannot run twice, because its first lines create a role and a database. */
  readonly runsTwice?: false;
}

const DEADLINE_MS = 150_000;
const MARK = '=====block';
const SERVER_MS = 60;

/** Started first unless the page starts a server itself. */
const LOCAL_SERVER = 'npm start';

/** Returns shell commands that start a server in the background with the variables of the page, and wait until it responds. */
const startScript = (command: string, port: string): string => `
( ${command}
) > "server-$((++servers)).log" 2>&1 &
jobs="$jobs $!"
for wait in $(seq ${SERVER_MS * 4}); do
  curl -sf "http://127.0.0.1:${port}/readyz" > /dev/null && break
  sleep 0.25
done
curl -sS "http://127.0.0.1:${port}/readyz" > /dev/null || cat server-*.log`;

/** Shell commands for Ctrl-C in the server's terminal. Waits until the server has ended. */
const STOP = 'kill "${jobs##* }"; wait "${jobs##* }"; jobs=${jobs% *}\n';

const scriptOf = (page: Page, ports: Readonly<Record<string, string>>): string => {
  const session = sessionOf(page);
  const startsItself = session.some(({ mark }) => mark?.kind === 'server');
  const first = ports['4000'] ?? '';
  const blocks = session.map((block, index) => {
    // A block that starts a server names its port, unless it is the default.
    const port = /\bPORT=(\d+)/.exec(block.text)?.[1] ?? first;
    const isStopped = block.mark?.kind === 'stopped';
    const body =
      block.mark?.kind === 'server' ? startScript(block.text, port) : `${isStopped ? STOP : ''}${block.text}`;
    return `echo; echo "${MARK} ${index}"\n${body}\n`;
  });
  return [
    // One stream keeps the order of standard output and error. Two pipes could be read in any order.
    'exec 2>&1',
    'servers=0 jobs=',
    // Stops all servers of the page at the end, also after a failure.
    `trap 'trap - ERR; [ -z "$jobs" ] || { kill $jobs; wait $jobs; } 2> /dev/null' EXIT`,
    ...(startsItself ? [] : [startScript(LOCAL_SERVER, first)]),
    'set -o pipefail',
    `trap 'echo "${MARK} failed: $BASH_COMMAND"' ERR`,
    ...blocks,
  ].join('\n');
};

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Replaces ports, but not inside longer numbers such as times and hashes. */
const replaceAll = (text: string, ports: Readonly<Record<string, string>>): string =>
  Object.entries(ports).reduce(
    (replaced, [from, to]) => replaced.replaceAll(new RegExp(`(?<!\\d)${escaped(from)}(?!\\d)`, 'g'), () => to),
    text,
  );

/** Files that the test, the server and npm create in the directory, which is also the home directory. */
const OWN_FILES = [/^package\.json$/, /^src$/, /^page\.sh$/, /^server-\d+\.log$/, /^\.sluice$/, /^\.npm$/];

/** The output of a page that runs twice in the same directory, and the files that it leaves there. */
export interface PageRuns {
  readonly first: readonly BlockOutput[];
  /** Null if the page runs only once. */
  readonly second: readonly BlockOutput[] | null;
  readonly left: readonly string[];
}

/**
 * Runs the shell blocks of a page in order, in one shell, in a temporary directory that looks like a checkout. A server listens at
 * `localhost:4000`: the page's own, or one in local mode.
 */
export const runPage = async (page: Page, options: PageOptions = {}): Promise<PageRuns> => {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-page-'));
  // If other users could not enter the directory, root's PostgreSQL would use another one, which would not be removed.
  await chmod(directory, 0o711);
  const serverPorts = { '4000': String(await freePort()), '4001': String(await freePort()) };
  const ports = { ...options.ports, ...serverPorts };
  try {
    // Without node_modules, so that pages cannot change them. The sources resolve packages from the checkout.
    for (const name of ['package.json', 'src']) await symlink(join(ROOT, name), join(directory, name));
    const script = join(directory, 'page.sh');
    await writeFile(script, scriptOf(replacePorts(page, ports), serverPorts));
    const runOnce = async (): Promise<BlockOutput[]> => {
      const text = await runScript(script, directory, env);
      return splitOutput(page, replaceAll(text, { ...back, [directory]: '…' }));
    };
    const env = {
      PATH: process.env['PATH'],
      HOME: directory,
      AWS_EC2_METADATA_DISABLED: 'true',
      NODE_COMPILE_CACHE: join(tmpdir(), 'node-compile-cache'),
      DATA_DIR: join(directory, '.sluice'),
      PORT: serverPorts['4000'],
      LOG_LEVEL: 'warn',
      ...options.env,
    };
    const back = Object.fromEntries(Object.entries(ports).map(([there, here]) => [here, there]));
    const first = await runOnce();
    const second = options.runsTwice === false ? null : await runOnce();
    const left = (await readdir(directory)).filter((name) => !OWN_FILES.some((own) => own.test(name)));
    return { first, second, left };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
};

const replacePorts = (page: Page, ports: Readonly<Record<string, string>>): Page => ({
  ...page,
  blocks: page.blocks.map((block) => ({ ...block, text: replaceAll(block.text, ports) })),
});

const runScript = async (script: string, cwd: string, env: NodeJS.ProcessEnv): Promise<string> => {
  const shell = spawn('bash', [script], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const output: string[] = [];
  for (const stream of [shell.stdout, shell.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => output.push(text));
  const deadline = setTimeout(() => {
    output.push(`\n${MARK} failed: not ended after ${DEADLINE_MS / 1000} s\n`);
    process.kill(-(shell.pid ?? 0), 'SIGKILL');
  }, DEADLINE_MS);
  await once(shell, 'close');
  clearTimeout(deadline);
  return output.join('');
};

const splitOutput = (page: Page, text: string): BlockOutput[] => {
  const parts = text.split(new RegExp(`^${MARK} (?=\\d)`, 'm')).slice(1);
  return sessionOf(page).map((block, index) => {
    const part = parts.find((other) => other.startsWith(`${index}\n`))?.slice(`${index}\n`.length);
    if (part === undefined) return { block, text: '', failed: [`not reached; output before it: ${text.slice(-2000)}`] };
    const lines = part.split('\n');
    return {
      block,
      text: lines
        .filter((line) => !line.startsWith(MARK))
        .join('\n')
        .trim(),
      failed: lines.flatMap((line) => (line.startsWith(MARK) ? [line.slice(MARK.length + 1)] : [])),
    };
  });
};

/** Returns the block that shows the output of a block, or null. */
export const shownAfter = (page: Page, block: Block): Block | null =>
  page.blocks.find((other) => isOutput(other) && other.follows?.line === block.line) ?? null;

/** Compares output with a text block: a line `…` matches any lines, `…` in a line any text, and a space any number of spaces. */
export const showsText = (shown: string, printed: string): boolean => {
  const pattern = shown
    .trim()
    .split('\n')
    .map((line) =>
      line.trim() === '…'
        ? '(?:.*\n)*?'
        : `${line
            .trim()
            .split(/\s+/)
            .map((word) => word.split('…').map(escaped).join('.*'))
            .join('[^\\S\n]+')}[^\\S\n]*\n`,
    )
    .join('');
  return new RegExp(`^${pattern}$`).test(`${printed.trim()}\n`);
};

/** Compares output with a JSON block: `…` in a string matches any text. */
export const showsJson = (shown: unknown, printed: unknown): boolean => {
  if (typeof shown === 'string' && typeof printed === 'string') {
    return new RegExp(`^${shown.split('…').map(escaped).join('[\\s\\S]*')}$`).test(printed);
  }
  if (Array.isArray(shown) && Array.isArray(printed)) {
    return shown.length === printed.length && shown.every((item, index) => showsJson(item, printed[index]));
  }
  if (typeof shown === 'object' && shown !== null && typeof printed === 'object' && printed !== null) {
    const [there, here] = [Object.entries(shown), Object.entries(printed)];
    return (
      there.length === here.length &&
      there.every(([name, value], index) => here[index]?.[0] === name && showsJson(value, here[index][1]))
    );
  }
  return shown === printed;
};
