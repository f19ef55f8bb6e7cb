import { type Figure, median } from '../support/figures.ts';
import { ask } from '../support/senders.ts';
import type { Stage } from '../support/stage.ts';
import { fillStream } from '../support/streams.ts';

// Usage as of an operation with a million later operations, compared with the same usage as of now before they were written.

const STREAM = 'earlier';
const SHAPE = { days: 1, keys: 5000, repeats: 200 };
const RECORDS = SHAPE.keys * SHAPE.repeats;
const LATER = 1_000_000;
const TRIES = 5;
const MOST_SECONDS = 5;

export async function measureLedgerTools(stage: Stage): Promise<Figure[]> {
  const server = await stage.server({ ROLE: 'api' });
  await fillStream(server.url, STREAM, SHAPE);
  const client = await stage.connect();
  await client.query('VACUUM ANALYZE records, totals, filters, operations');
  const { stream } = await ask<{ stream: { operations: { edges: { node: { id: string } }[] } } }>(
    server.url,
    `{ stream(name: "${STREAM}") { operations(first: 1) { edges { node { id } } } } }`,
  );
  const operation = stream.operations.edges[0]?.node.id;
  // The filter makes usage read the records and not the totals.
  const usage = async (asOf: object | null): Promise<number> => {
    const seconds: number[] = [];
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      const begun = performance.now();
      const { usage: read } = await ask<{ usage: { series?: readonly unknown[]; message?: string } }>(
        server.url,
        `query ($asOf: LedgerMomentInput) { usage(input: { meterApiNames: ["${STREAM}"], from: "2020-01-01T00:00:00Z", to: "2040-01-01T00:00:00Z",
          aggregationBucket: MONTH, groupBy: ["element"], filter: [{ dimension: "region", values: ["r0", "r1", "r2", "r3", "r4"] }], asOf: $asOf }) {
          ... on Usage { series { total } } ... on UserError { message } } }`,
        { asOf },
      );
      if (!read.series) throw new Error(read.message);
      seconds.push((performance.now() - begun) / 1000);
    }
    return median(seconds);
  };
  const nowSeconds = await usage(null);
  await client.query(
    `INSERT INTO operations (account_id, id, stream_id, kind, received_at, xid, inserted_records, hidden_records, content_sha256, totalled,
       first_bucket, last_bucket)
     SELECT o.account_id, nextval('operation_ids'), o.stream_id, 'SUM', now(), pg_current_xact_id(), 0, 0, '', true, o.first_bucket, o.last_bucket
     FROM (SELECT * FROM operations ORDER BY id LIMIT 1) o, generate_series(1, $1::int)`,
    [LATER],
  );
  await client.query('VACUUM ANALYZE operations');
  const pastSeconds = await usage({ operation });
  await server.stop();
  return [
    {
      what: `usage of ${RECORDS} records as of an operation, with ${LATER} later operations`,
      against: '',
      value: pastSeconds,
      unit: 's',
      bound: { atMost: MOST_SECONDS },
      details: { pastSeconds, nowSeconds },
    },
    {
      what: `time of usage of ${RECORDS} records as of an operation, with ${LATER} later operations`,
      against: 'as of now, without later operations',
      value: pastSeconds / nowSeconds,
      unit: 'x',
      bound: { atMost: 10 },
      details: { pastSeconds, nowSeconds },
    },
  ];
}
