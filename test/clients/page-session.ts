import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../support/source-files.ts';
import { type Block, isOutput, type Page, sessionOf } from '../docs/pages.ts';

/** What one block of a page printed, standard output and error as a terminal shows them. */
export interface Said {
  readonly block: Block;
  readonly text: string;
  /** Commands of it that ended with another code than 0. */
  readonly failed: readonly string[];
}

export interface PageOptions {
  /** Settings of this machine: what the reader has in another way. */
  readonly env?: Readonly<Record<string, string>>;
  /** What stands in the page, and what it is here: addresses. */
  readonly places?: Readonly<Record<string, string>>;
  /** False: its first lines make a role and a database, which are there the second time. */
  readonly isTypedTwice?: false;
}

const DEADLINE_MS = 150_000;
const MARK = '=====block';
const SERVER_MS = 60;

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
};

/** What the page itself starts where it has a block for that, else local mode, which the other pages take for granted. */
const LOCAL_SERVER = 'npm start';

/** Started beside the shell, as in another terminal, with the variables of this one; waited for until it answers. */
const startOf = (command: string, port: string): string => `
( ${command}
) > "server-$((++servers)).log" 2>&1 &
jobs="$jobs $!"
for wait in $(seq ${SERVER_MS * 4}); do
  curl -sf "http://127.0.0.1:${port}/readyz" > /dev/null && break
  sleep 0.25
done
curl -sS "http://127.0.0.1:${port}/readyz" > /dev/null || cat server-*.log`;

/** Ctrl-C in the other terminal; goes on when nothing of the server is left. */
const STOP = 'kill "${jobs##* }"; wait "${jobs##* }"; jobs=${jobs% *}\n';

const scriptOf = (page: Page, ports: Readonly<Record<string, string>>): string => {
  const session = sessionOf(page);
  const startsItself = session.some(({ mark }) => mark?.kind === 'server');
  const first = ports['4000'] ?? '';
  const blocks = session.map((block, index) => {
    // A server of the page says its port where it is not the usual one.
    const port = /\bPORT=(\d+)/.exec(block.text)?.[1] ?? first;
    const isStopped = block.mark?.kind === 'stopped';
    const body = block.mark?.kind === 'server' ? startOf(block.text, port) : `${isStopped ? STOP : ''}${block.text}`;
    return `echo; echo "${MARK} ${index}"\n${body}\n`;
  });
  return [
    // One after the other, as a terminal shows them: of two pipes either may be read first.
    'exec 2>&1',
    'servers=0 jobs=',
    // In the end nothing of the page is left running, whatever became of it.
    `trap 'trap - ERR; [ -z "$jobs" ] || { kill $jobs; wait $jobs; } 2> /dev/null' EXIT`,
    ...(startsItself ? [] : [startOf(LOCAL_SERVER, first)]),
    'set -o pipefail',
    `trap 'echo "${MARK} failed: $BASH_COMMAND"' ERR`,
    ...blocks,
  ].join('\n');
};

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Not within longer numbers: a port may stand in a time or a hash. */
const replaceAll = (text: string, places: Readonly<Record<string, string>>): string =>
  Object.entries(places).reduce(
    (replaced, [from, to]) => replaced.replaceAll(new RegExp(`(?<!\\d)${escaped(from)}(?!\\d)`, 'g'), () => to),
    text,
  );

/** Files that the test, the server and npm make in the directory, which is also the home. */
const OWN_FILES = [/^package\.json$/, /^src$/, /^page\.sh$/, /^server-\d+\.log$/, /^\.sluice$/, /^\.npm$/];

/** What a page printed when it was typed once, and once more in the same directory; and the files that it left there. */
export interface PageRuns {
  readonly first: readonly Said[];
  /** Null if it was typed once. */
  readonly again: readonly Said[] | null;
  readonly left: readonly string[];
}

/**
 * Runs the shell blocks of a page in order, in one shell, in a directory that looks like a checkout and is removed. A server
 * that answers at `localhost:4000` is there: the page's own, or one in local mode.
 */
export const runPage = async (page: Page, options: PageOptions = {}): Promise<PageRuns> => {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-page-'));
  // Closed to other accounts, PostgreSQL started by root would lie elsewhere, and stay there.
  await chmod(directory, 0o711);
  const ports = { '4000': String(await freePort()), '4001': String(await freePort()) };
  const places = { ...options.places, ...ports };
  try {
    // No node_modules, so that nothing in it can be changed from there: the sources find those of the checkout.
    for (const name of ['package.json', 'src']) await symlink(join(ROOT, name), join(directory, name));
    const script = join(directory, 'page.sh');
    await writeFile(script, scriptOf(replacedIn(page, places), ports));
    const type = async (): Promise<Said[]> => {
      const text = await runScript(script, directory, env);
      return saidBy(page, replaceAll(text, { ...back, [directory]: '…' }));
    };
    const env = {
      PATH: process.env['PATH'],
      HOME: directory,
      AWS_EC2_METADATA_DISABLED: 'true',
      NODE_COMPILE_CACHE: join(tmpdir(), 'node-compile-cache'),
      DATA_DIR: join(directory, '.sluice'),
      PORT: ports['4000'],
      LOG_LEVEL: 'warn',
      ...options.env,
    };
    const back = Object.fromEntries(Object.entries(places).map(([there, here]) => [here, there]));
    const first = await type();
    const again = options.isTypedTwice === false ? null : await type();
    const left = (await readdir(directory)).filter((name) => !OWN_FILES.some((own) => own.test(name)));
    return { first, again, left };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
};

const replacedIn = (page: Page, places: Readonly<Record<string, string>>): Page => ({
  ...page,
  blocks: page.blocks.map((block) => ({ ...block, text: replaceAll(block.text, places) })),
});

const runScript = async (script: string, cwd: string, env: NodeJS.ProcessEnv): Promise<string> => {
  const shell = spawn('bash', [script], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const said: string[] = [];
  for (const stream of [shell.stdout, shell.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => said.push(text));
  const impatience = setTimeout(() => process.kill(-(shell.pid ?? 0), 'SIGKILL'), DEADLINE_MS);
  await once(shell, 'close');
  clearTimeout(impatience);
  return said.join('');
};

const saidBy = (page: Page, text: string): Said[] => {
  const parts = text.split(new RegExp(`^${MARK} (?=\\d)`, 'm')).slice(1);
  return sessionOf(page).map((block, index) => {
    const part = parts.find((other) => other.startsWith(`${index}\n`))?.slice(`${index}\n`.length);
    if (part === undefined) return { block, text: '', failed: [`not reached; before it: ${text.slice(-2000)}`] };
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

/** What a page says that a block prints, or null. */
export const shownAfter = (page: Page, block: Block): Block | null =>
  page.blocks.find((other) => isOutput(other) && other.follows?.line === block.line) ?? null;

/** A line of `…` alone stands for any lines, and elsewhere for any part of one. Blanks between words may differ in number. */
export const showsText = (shown: string, said: string): boolean => {
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
  return new RegExp(`^${pattern}$`).test(`${said.trim()}\n`);
};

/** In a shown string `…` stands for any part. */
export const showsJson = (shown: unknown, said: unknown): boolean => {
  if (typeof shown === 'string' && typeof said === 'string') {
    return new RegExp(`^${shown.split('…').map(escaped).join('[\\s\\S]*')}$`).test(said);
  }
  if (Array.isArray(shown) && Array.isArray(said)) {
    return shown.length === said.length && shown.every((item, index) => showsJson(item, said[index]));
  }
  if (typeof shown === 'object' && shown !== null && typeof said === 'object' && said !== null) {
    const [there, here] = [Object.entries(shown), Object.entries(said)];
    return (
      there.length === here.length &&
      there.every(([name, value], index) => here[index]?.[0] === name && showsJson(value, here[index][1]))
    );
  }
  return shown === said;
};
