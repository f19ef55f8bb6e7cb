import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WORST_INPUTS, type WorstRequest } from '../limits/worst-inputs.ts';
import { type Deployment, type ServerProcess, startDeployment } from './deployment.ts';
import { probeHealth } from './probed-health.ts';

// A server answers others while it works on the worst request of one client: within 250 ms, or on a slow machine within 1.8 times what
// it takes to parse JSON of as many bytes. On a machine of 2 cores that takes 135 ms (117 to 149), so 250 ms is the limit there. The
// slowest responses took at most 1.3 times as long (November 2026).

const BYTES = 5_000_000;
const MOST_MS = 250;
/** The same in times of parsing the reference. */
const MOST_PARSES = 1.8;
/** Something else may take the processor during one. */
const ROUNDS = 5;

let deployment: Deployment;
let server: ServerProcess;
let reference: ChildProcess;
beforeAll(async () => {
  deployment = await startDeployment();
  server = await deployment.startServer({ ROLE: 'api' });
  const record = '{"timestamp":"2026-01-25","granularity":"DAILY","element-name":"e","value":1}';
  await fetch(`${server.url}/unit-cost/v1/telemetry/allocation/worst/sum`, {
    method: 'POST',
    headers: { 'x-api-key': server.key },
    body: `{"records":[${record}]}`,
  });
});
beforeAll(() => {
  reference = fork(join(import.meta.dirname, 'reference-parse.ts'), { execArgv: [] });
});
afterAll(async () => {
  const exited = once(reference, 'exit');
  reference.disconnect();
  await exited;
  await deployment.close();
});

/** Returns the time in which this machine parses JSON of as many bytes as the request. */
const parseReference = async (): Promise<number> => {
  reference.send('parse');
  const [ms] = (await once(reference, 'message')) as [number];
  return ms;
};

/** Returns the longest response time of /healthz during the request. */
const slowestBeside = async (request: WorstRequest): Promise<number> => {
  const agent = new Agent({ keepAlive: true });
  try {
    await probeHealth(server, agent);
    let isUnderWay = true;
    const sent = request.send(server).finally(() => (isUnderWay = false));
    let slowest = 0;
    do slowest = Math.max(slowest, await probeHealth(server, agent));
    while (isUnderWay);
    await sent;
    return slowest;
  } finally {
    agent.destroy();
  }
};

test.each([...WORST_INPUTS.keys()])(
  '/healthz > responds within 250 ms during a request of 5 MB of %s',
  async (name) => {
    const request = WORST_INPUTS.get(name)!(BYTES);
    let slowest = Infinity;
    // Measured beside the request, and only if the machine may be slow.
    let parsing = Infinity;
    for (let round = 0; round < ROUNDS && slowest > MOST_MS; round += 1) {
      slowest = Math.min(slowest, await slowestBeside(request));
      if (slowest > MOST_MS) parsing = Math.min(parsing, await parseReference());
    }
    const limit = parsing === Infinity ? MOST_MS : Math.max(MOST_MS, MOST_PARSES * parsing);
    expect(slowest).toBeLessThanOrEqual(limit);
  },
);
