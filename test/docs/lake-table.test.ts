import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { createJob, exportAgain, type Settings } from '../support/job-steps.ts';
import { queryDuckDb } from '../support/parquet.ts';
import { startTestServer } from '../support/server.ts';
import { ROOT } from '../support/source-files.ts';
import { blocksOf, triedBlock } from './pages.ts';

const PAGE = 'docs/how-to/partitioned-lake-table.md';

function only(match: RegExpExecArray | null): string {
  if (match?.[1] === undefined) throw new Error(`${PAGE} does not have the expected commands.`);
  return match[1];
}

test(`${PAGE} > query of DuckDB prints what the page shows`, async () => {
  const blocks = blocksOf(await readFile(join(ROOT, PAGE), 'utf8'));
  const commands = blocks.map(({ text }) => text).join('\n');
  const mutation = only(/gql '(mutation \{\n {2}allocationReplace[^']*)'/.exec(commands));
  const settings = JSON.parse(only(/JOB_INPUT='([^']*)'/.exec(commands))) as Settings;
  const query = only(/-c "([^"]*)"/.exec(await triedBlock('docs/how-to/partitioned-lake-table.md', 'days of January')));
  const shown = await triedBlock('docs/how-to/partitioned-lake-table.md', 'output of DuckDB');
  const server = await startTestServer();
  const folder = await mkdtemp(join(tmpdir(), 'sluice-lake-'));
  try {
    await server.graphql(mutation);
    const jobId = await createJob(server, {
      ...settings,
      s3Url: String(settings['s3Url']).replace('customer-bucket', 'exports'),
    });
    for (const slot of ['2026-01-31T02:00:00Z', '2026-02-01T02:00:00Z']) await exportAgain(server, jobId, slot);
    for (const { key, body } of server.s3.objects()) {
      await mkdir(join(folder, dirname(key)), { recursive: true });
      await writeFile(join(folder, key), body);
    }
    const here = query.replace("'lake/", `'${folder}/lake/`);
    const rows = await queryDuckDb(`SELECT day, element, team, value::VARCHAR AS value FROM (${here})`);
    const lines = rows.map((row) =>
      Object.values(row)
        .map((value) => (Array.isArray(value) ? `[${value.join(', ')}]` : String(value)))
        .join('|'),
    );
    expect(lines.join('\n')).toBe(shown.trim());
  } finally {
    await rm(folder, { recursive: true, force: true });
    await server.stop();
  }
});
