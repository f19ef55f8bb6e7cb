import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runSluice } from '../support/sluice-process.ts';

/** Counts the connections of clients and of the database driver, and closes each. */
let server: Server;
let connections = 0;
let settings: Record<string, string>;

beforeAll(async () => {
  server = createServer().on('connection', (socket) => {
    connections += 1;
    socket.destroy();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  settings = {
    SLUICE_URL: `http://127.0.0.1:${port}`,
    API_KEY: 'k'.repeat(40),
    DATABASE_URL: `postgres://user@127.0.0.1:${port}/sluice`,
  };
});
afterAll(() => {
  server.close();
});

const ingest = (...flags: string[]): string[] => ['ingest', '-', '--stream', 's', ...flags];
const preview = (kind: string, ...flags: string[]): string[] => ['preview', kind, '--stream', 's', ...flags];

test.each<[args: string[], message: string]>([
  [['usage', 's', '--from', 'nope'], '--from must be a date such as 2026-01-25, '],
  [['usage', 's', '--to', 'nope'], '--to must be a date such as 2026-01-25, '],
  [['usage', 's', '--range', '7d', '--from', '2026-01-01'], 'Use either --range or --from.'],
  [['usage', 's', '--from', '2026-02-02', '--to', '2026-02-01'], '--to must be after --from.'],
  [['usage', 's', '--from', '2999-01-01'], 'No whole day has ended since --from. Enter --to, or an earlier --from.'],
  [['usage', 's', '--url', 'nope'], 'Invalid server URL "nope".'],
  [['run', 'watch'], 'Specify a run: '],
  [['run', 'watch', 'id', '--job', 'j'], 'Specify a run: '],
  [['destination', 'test'], 'Specify a destination: '],
  [['destination', 'test', 'exports', '--job', 'j'], 'Specify a destination: '],
  [['job', 'create', '--job-name', 'j'], 'Required: --s3-url, '],
  [['job', 'check'], 'Required: --job-name, '],
  [['job', 'edit', 'j'], 'Specify what to change: '],
  [['job', 'run', 'j', '--for', 'yesterday'], '--for must be a date such as 2026-01-25, '],
  [['delivery', 'coverage', 'j', '--from', 'nope'], '--from must be a date such as 2026-01-25, '],
  [['backfill', 'create', 'j', '--from', '2026-02-02', '--to', '2026-02-01'], '--to must be after --from.'],
  [['backfill', 'preview', 'j', '--from', '2026-02-02', '--to', 'nope'], '--to must be a date such as 2026-01-25, '],
  [['preview', 'sum', '--timestamp', '2026-01-25'], 'Name the stream with --stream, '],
  [preview('sum'), 'Records are missing. '],
  [preview('sum', '--value', '1'), '--value needs --timestamp.'],
  [preview('sum', '--timestamp', '2026-01-25'), '--timestamp needs --granularity.'],
  [
    preview('sum', '--timestamp', '2026-01-25', '--granularity', 'daily'),
    'A record of a sum needs --element and --value.',
  ],
  [preview('delete', '--timestamp', 'nope', '--granularity', 'daily'), '--timestamp must be a date such as '],
  [preview('replace', '--from', '2026-01-25', '--to', '2026-01-25'), '--to must be after --from.'],
  [preview('replace', '--from', '2026-01-25'), 'A scope needs --from and --to.'],
  [['ingest', '-', '--stream', ''], 'Must have 1 to '],
  [ingest('--kind', 'replace', '--part', '5'), 'A replace is always one request, '],
  [ingest('--format', 'postgres', '--delimiter', ';'), '--format postgres always has tabs between cells. '],
  [ingest('--format', 'ndjson', '--round', '2'), '--round is an option for CSV. '],
  [ingest('--idempotency-key', ''), '--idempotency-key must have 1 to 240 characters, '],
  [ingest('--date-format', 'DD.MM.YY'), 'Invalid --date-format: Two-digit years are ambiguous.'],
  [ingest('--dry-run', '--date-format', 'DD.MM.YY'), 'Invalid --date-format: '],
  [ingest('--column', 'region=Region', '--column', 'zone=Region'), 'The column "Region" is already "region".'],
  [ingest('--column', 'bucketStart=Region'), '"bucketStart" cannot be the name of a dimension.'],
  [['account', 'create', 'a/b'], 'An account name has 1 to 255 characters '],
  [['key', 'create', '--account', 'a', '--scopes', 'READ', '--name', ''], 'Must have 1 to 255 characters.'],
  [['bucket', 'move', 's3://exports/a', '--account', 'a'], 'Enter the bucket name without s3:// and path.'],
  [['bucket', 'move', 'Exports', '--account', 'a'], 'A bucket name contains only lower-case '],
  [['purge', '--yes', '--older-than', '0d'], '--older-than must be at least '],
])('wrong usage %j > exits with 2 and connects to nothing', async (args, message) => {
  const { code, stdout, stderr } = await runSluice('cli', args, settings);
  expect(stderr).toContain(message);
  expect([code, stdout, connections]).toEqual([2, '', 0]);
});

test('a failed command > exits with 1 when the server cannot be reached, or a setting or file is not valid', async () => {
  const attempts: [args: string[], env: Record<string, string>, message: RegExp][] = [
    [['usage', 's'], { SLUICE_URL: 'http://127.0.0.1:1' }, /^The server at \S+ cannot be reached /],
    [['usage', 's'], { SLUICE_URL: 'nope' }, /^Invalid server URL "nope"\./],
    [['usage', 's', '--key-file', '/nonexistent/key'], {}, /^The key file "\/nonexistent\/key" cannot be read/],
    [['job', 'create', '-f', '/nonexistent/job'], {}, /^"\/nonexistent\/job" cannot be read/],
    [['job', 'check', '-f', '-'], {}, /^The file is not valid JSON/],
  ];
  const outcomes = await Promise.all(attempts.map(([args, env]) => runSluice('cli', args, { ...settings, ...env })));
  for (const [index, { code, stderr }] of outcomes.entries()) {
    expect(stderr).toMatch(attempts[index]![2]);
    expect(code).toBe(1);
  }
});
