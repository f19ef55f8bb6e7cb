import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Figure, median } from '../support/figures.ts';
import { createJob, type JobInput, runJob, selectOf } from '../support/jobs.ts';
import { quoted, runCommand } from '../support/programs.ts';
import type { Stage } from '../support/stage.ts';
import { fillStream } from '../support/streams.ts';

// Exports to files, compared with psql writing the rows of the same SELECT to a file.

const SHAPE = { days: 30, keys: 1_000_000, repeats: 2 };
/** Exports and psql alternate, so that a change in the machine's speed affects both. */
const TRIES = 5;

const FORMS: readonly { readonly name: string; readonly atMost: number; readonly input: Partial<JobInput> }[] = [
  { name: 'CSV', atMost: 1.15, input: { format: 'CSV' } },
  { name: 'NDJSON', atMost: 1.3, input: { format: 'NDJSON' } },
  { name: 'JSON', atMost: 1.3, input: { format: 'JSON' } },
  { name: 'gzipped CSV', atMost: 1.15, input: { format: 'CSV', compression: 'GZIP' } },
];

export async function measureExports(stage: Stage): Promise<Figure[]> {
  const server = await stage.server();
  const { url } = server;
  await fillStream(url, 'usage', SHAPE);
  const client = await stage.connect();
  await client.query('VACUUM ANALYZE records, totals, filters, operations');
  const common = { meterApiNames: ['usage'], groupBy: ['element'] };
  const select = await selectOf(url, { jobName: 'limit', ...common });
  const file = join(stage.directory, 'rows.csv');
  // The setting that exports use. Without it, row-level security would hide all rows from psql.
  const psql = `PGOPTIONS="-c sluice.all_accounts=on" psql ${quoted(stage.databaseUrl)} -q -v ON_ERROR_STOP=1`;
  const figures: Figure[] = [];
  for (const { name, atMost, input } of FORMS) {
    const jobId = await createJob(url, { jobName: name, ...common, ...input });
    const copy =
      input.compression === 'GZIP'
        ? `${psql} -c ${quoted(`COPY (${select}) TO STDOUT WITH (FORMAT csv)`)} | gzip -6 > ${quoted(file)}`
        : `${psql} -c ${quoted(`\\copy (${select}) TO '${file}' WITH (FORMAT csv)`)}`;
    const tries: { readonly run: number; readonly limit: number }[] = [];
    let rows = 0;
    let bytes = 0;
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      const limit = await runCommand(copy);
      const run = await runJob(url, jobId);
      tries.push({ run: run.seconds, limit: limit.seconds });
      rows = run.rowsWritten;
      bytes = run.bytesWritten;
    }
    if (rows !== SHAPE.keys) throw new Error(`${rows} rows left, not ${SHAPE.keys}.`);
    figures.push({
      what: `export of ${SHAPE.keys * SHAPE.repeats} records to ${rows} rows of ${name}`,
      against:
        input.compression === 'GZIP'
          ? 'psql, the same SELECT, piped through gzip -6'
          : 'psql \\copy of the same SELECT',
      value: median(tries.map(({ run, limit }) => run / limit)),
      unit: 'x',
      bound: { atMost },
      details: {
        exportSeconds: median(tries.map(({ run }) => run)),
        psqlSeconds: median(tries.map(({ limit }) => limit)),
        exportMb: bytes / 1e6,
        psqlMb: (await stat(file)).size / 1e6,
      },
    });
  }
  await server.stop();
  return figures;
}
