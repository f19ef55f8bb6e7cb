// A separate process for the tests: node run-postgres.ts DIRECTORY SHELTER. Prints what it started as a line of JSON. After
// SIGINT it uses the database again and then stops in order.
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openDataDirectory } from '../../src/local/data-directory.ts';
import { startPostgres } from '../../src/local/postgres/postgres.ts';

const [path = '', shelter = ''] = process.argv.slice(2);
const write = (text: string) => process.stderr.write(`${text}\n`);
const log = { debug: () => undefined, warn: write, error: write };

const dataDirectory = await openDataDirectory(path);
const postgres = await startPostgres({ directory: join(path, 'postgres'), shelter, log });

const stop = async () => {
  // Much longer than PostgreSQL would take to shut down if it received the signal too.
  await delay(300);
  const { withClient } = await import('../support/postgres-admin.ts');
  await withClient(postgres.url, (client) => client.query('SELECT 1'));
  await postgres.stop();
  await dataDirectory.close();
};
process.once('SIGINT', () => void stop());

const { url, directory } = postgres;
process.stdout.write(`${JSON.stringify({ url, directory })}\n`);
