import { afterAll, beforeAll, expect, test } from 'vitest';
import { allocationPath, ask } from '../rest/requests.ts';
import { openRawConnection } from '../support/raw-requests.ts';
import { scrape } from '../support/scrape.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

const heldBytes = async (): Promise<number> =>
  (await scrape(server.url)).value('sluice_request_memory_bytes') ?? Number.NaN;

/** Body with invalid records, which the general reader has to validate one by one. */
const listOf = (first: string, records: number): string => `{"records":[${first},${'{},'.repeat(records)}{}]}`;

test.each([
  ['records are read one by one', '{}'],
  ['the body is parsed as a whole', '0'],
])('list of records > is not read further after its client disconnected when %s', async (_, first) => {
  const body = listOf(first, 400_000);
  const { socket } = await openRawConnection(server.url);
  socket.write(
    `POST ${allocationPath('x', 'sum')} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${server.key}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await eventually(heldBytes, (bytes) => bytes >= body.length);
  socket.destroy();
  // Both requests get the same share of the processor, so this one ends long before the other could have been read.
  const { status } = await ask(server, `POST ${allocationPath('x', 'sum')}`, {
    body: { records: Array.from({ length: 40_000 }, () => ({})) },
  });
  expect(status).toBe(400);
  expect(await heldBytes()).toBeLessThan(body.length);
});
