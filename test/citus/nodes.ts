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
