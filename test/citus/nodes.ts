import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';

export interface Node {
  /** In `pg_dist_node` of the test's database. */
  readonly id: number;
  readonly host: string;
  readonly port: number;
  readonly isCoordinator: boolean;
  /** The test's database on this node, as the superuser. */
  readonly url: string;
}

export const onNode = async <Result>(url: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> => {
  const client = new pg.Client({ connectionString: url, application_name: 'sluice-tests' });
  // A node that is stopped ends the connection outside of any query.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
};

/** Rows of one statement. */
export const queryOn = async <Row>(url: string, text: string, values: readonly unknown[] = []): Promise<Row[]> =>
  onNode(url, async (client) => (await client.query(text, [...values])).rows as Row[]);

/** The PostgreSQL of a node on this machine. */
export interface NodeProcess {
  /** Ends it without a checkpoint, as a crash does. */
  crash(): Promise<void>;
  /** Resolves when it accepts connections. Does nothing if it runs. */
  start(): Promise<void>;
}

/** Throws if the node is on another machine. */
export const processOf = async (node: Node): Promise<NodeProcess> => {
  const [place] = await queryOn<{ bin: string; data: string }>(
    node.url,
    `SELECT setting AS bin, current_setting('data_directory') AS data FROM pg_config WHERE name = 'BINDIR'`,
  );
  if (!place) throw new Error('A node without programs.');
  const { bin, data } = place;
  const { uid, gid } = await stat(data);
  // The program, then each argument in quotation marks.
  const options = (await readFile(join(data, 'postmaster.opts'), 'utf8'))
    .split(/ (?=")/)
    .slice(1)
    .map((argument) => argument.trim());
  const control = (...args: string[]) =>
    promisify(execFile)(join(bin, 'pg_ctl'), ['-D', data, ...args], {
      cwd: '/',
      // HOME would be that of the tests: without it, the node finds .pgpass and certificates in that of its own user.
      env: { PATH: process.env['PATH'] },
      // PostgreSQL refuses to run as root.
      ...(process.getuid?.() === 0 && { uid, gid }),
    });
  let runs = true;
  return {
    crash: async () => {
      runs = false;
      await control('stop', '-m', 'immediate');
    },
    start: async () => {
      if (runs) return;
      await control('start', '-w', '-l', join(data, 'tests.log'), '-o', options.join(' '));
      runs = true;
    },
  };
};
