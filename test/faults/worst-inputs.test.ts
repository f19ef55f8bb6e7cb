import { Agent } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WORST_INPUTS, type WorstRequest } from '../limits/worst-inputs.ts';
import { type Deployment, type ServerProcess, startDeployment } from './deployment.ts';
import { probeHealth, waitedMs } from './probed-health.ts';

// A server answers others while it works on the worst request of one client.

const BYTES = 5_000_000;
const MOST_MS = 250;
/**
 * Multiple of the time that JSON.parse takes for as many bytes, which cannot be divided. Up to 125 ms, MOST_MS is the limit. On a slow
 * machine with other load it took 140 to 240 ms (November 2026).
 */
const MOST_PARSES = 2;
/** About as many bytes, of different strings. */
const STRINGS = JSON.stringify(Array.from({ length: BYTES / 9.5 }, (_, index) => `v${index}`));
/** Something else may take the processor during one. */
const ROUNDS = 5;

let deployment: Deployment;
let server: ServerProcess;
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
afterAll(() => deployment.close());

/** Returns the minimum time of JSON.parse, without the time in which this process waited for a processor. */
const parseMs = (): number => {
  const times = Array.from({ length: 3 }, () => {
    const waitedBefore = waitedMs(process.pid);
    const begun = performance.now();
    JSON.parse(STRINGS);
    return performance.now() - begun - (waitedMs(process.pid) - waitedBefore);
  });
  return Math.min(...times);
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
  '/healthz > responds within 250 ms, or two JSON.parse of 5 MB, during a request of 5 MB of %s',
  async (name) => {
    const request = WORST_INPUTS.get(name)!(BYTES);
    let slowest = Infinity;
    let limit = MOST_MS;
    for (let round = 0; round < ROUNDS && slowest > limit; round += 1) {
      slowest = Math.min(slowest, await slowestBeside(request));
      if (slowest > MOST_MS) limit = Math.max(MOST_MS, MOST_PARSES * parseMs());
    }
    expect(slowest).toBeLessThanOrEqual(limit);
  },
);
