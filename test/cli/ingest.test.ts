import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { runSluice, SLUICE_CLI, sluiceEnvironment, startCommand } from '../support/sluice-process.ts';
import { runInTerminal } from '../support/terminal.ts';

let server: TestServer;
let directory: string;

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  directory = await mkdtemp(join(tmpdir(), 'sluice-ingest-test-'));
});
afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

const settings = () => ({ SLUICE_URL: server.url, API_KEY: server.key });
const ingest = (...args: string[]) => runSluice('cli', ['ingest', ...args], settings());

const fileOf = async (name: string, content: string | Buffer): Promise<string> => {
  const file = join(directory, name);
  await writeFile(file, content);
  return file;
};

/** Through the command's standard input. */
const pipe = async (content: string | Buffer, ...args: string[]) => {
  const child = spawn(process.execPath, [SLUICE_CLI, 'ingest', '-', ...args], {
    env: sluiceEnvironment(settings()),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.end(content);
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: code as number, stdout, stderr };
};

/** One record per line, each of another day. */
const linesOf = (days: number, value = '0.1'): string[] =>
  Array.from(
    { length: days },
    (_, index) =>
      `{"timestamp":"2026-01-${String(index + 1).padStart(2, '0')}","granularity":"DAILY","element-name":"hooli","filter":{"region":["eu"]},"value":"${value}"}`,
  );

const liveOf = async (stream: string): Promise<string[]> => {
  const { stream: found } = await server.graphql<{
    stream: { records: { edges: { node: { timestamp: string; elementName: string; value: string } }[] } } | null;
  }>(
    `query ($stream: String!) {
      stream(name: $stream) { records(first: 100) { edges { node { timestamp elementName value } } } }
    }`,
    { stream },
  );
  return (found?.records.edges ?? []).map(
    ({ node }) => `${node.timestamp.slice(0, 10)} ${node.elementName} ${node.value}`,
  );
};

describe('ingest', () => {
  test('stores the same records with every digit from NDJSON and CSV, compressed or not', async () => {
    const value = '12345678901234567890.123456789012';
    const ndjson = `\n${linesOf(2, value).join('\n\n')}\n`;
    const csv = `\ufeffDate,Customer,region,value\r\n2026-01-01,hooli,eu,${value}\r\n2026-01-02,"hooli",eu,${value}`;
    const csvFlags = ['--granularity', 'daily', '--column', 'element=Customer'];
    const outcomes = await Promise.all([
      ingest(await fileOf('one.ndjson', ndjson), '--stream', 'plain-lines'),
      ingest(await fileOf('two', gzipSync(ndjson)), '--stream', 'packed-lines'),
      ingest(await fileOf('three.csv', csv), '--stream', 'plain-rows', ...csvFlags),
      pipe(gzipSync(csv), '--stream', 'packed-rows', ...csvFlags),
    ]);
    expect(outcomes.map(({ code, stderr }) => ({ code, stderr }))).toEqual(
      outcomes.map(() => ({ code: 0, stderr: '' })),
    );
    expect(outcomes[0]?.stdout).toMatch(
      /^Part 1: 2 records, up to line 4, stored\nStored: 2 records in "plain-lines", in [\d.]+m?s \([\d,]+\/s\)\n$/,
    );
    const expected = [`2026-01-02 hooli ${value}`, `2026-01-01 hooli ${value}`];
    for (const stream of ['plain-lines', 'packed-lines', 'plain-rows', 'packed-rows'])
      expect(await liveOf(stream)).toEqual(expected);
  });

  test('counts the same input once when it runs again, and twice with another idempotency key', async () => {
    const file = await fileOf('again.ndjson', linesOf(1).join('\n'));
    const first = await ingest(file, '--stream', 'again');
    const [second, ownKey] = [
      await pipe(linesOf(1).join('\n'), '--stream', 'again'),
      await ingest(file, '--stream', 'again', '--idempotency-key', 'correction 1'),
    ];
    expect([first, second, ownKey].map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(first.stderr).toBe('');
    expect(second.stderr).toMatch(/^All of them were already stored by an earlier run, and count once\./);
    expect(ownKey.stderr).toBe('');
    expect(await liveOf('again')).toEqual(['2026-01-01 hooli 0.2']);
    const otherContent = await ingest(
      await fileOf('other.ndjson', linesOf(2).join('\n')),
      '--stream',
      'again',
      '--idempotency-key',
      'correction 1',
    );
    expect(otherContent).toMatchObject({ code: 1, stderr: expect.stringContaining('key') });
    expect(await liveOf('again')).toEqual(['2026-01-01 hooli 0.2']);
  });

  test('reports the lines of a rejected part, keeps earlier parts, and continues when the lines are corrected', async () => {
    const lines = linesOf(6);
    const bad = lines.with(4, lines[4]!.replace('"0.1"', '"-1"')).with(5, '{"timestamp":');
    const flags = ['--stream', 'in-parts', '--part', '2'];
    const refused = await ingest(await fileOf('parts.ndjson', bad.join('\n')), ...flags);
    expect(refused.code).toBe(1);
    expect(refused.stdout).toBe('Part 1: 2 records, up to line 2, stored\nPart 2: 2 records, up to line 4, stored\n');
    expect(refused.stderr.split('\n')).toEqual([
      'Stored 4 records, up to line 4. Do not change these lines. Run the same command again with the same input and options; stored records count once.',
      expect.stringMatching(/^Line 5, value: /),
      expect.stringMatching(/^Line 6: Is not JSON/),
      '',
    ]);
    expect(await liveOf('in-parts')).toHaveLength(4);

    const corrected = await ingest(await fileOf('parts.ndjson', lines.join('\n')), ...flags);
    expect(corrected).toMatchObject({ code: 0, stderr: expect.stringMatching(/^4 of them were already stored /) });
    expect(corrected.stdout).toContain(
      'Part 2: 2 records, up to line 4, already stored\nPart 3: 2 records, up to line 6, stored\n',
    );
    expect(await liveOf('in-parts')).toEqual([6, 5, 4, 3, 2, 1].map((day) => `2026-01-0${day} hooli 0.1`));
  });

  test('sends a replace as one request, and reports both lines of a duplicate record key', async () => {
    await ingest(await fileOf('before.ndjson', linesOf(3).join('\n')), '--stream', 'replaced');
    const twice = await pipe(
      [...linesOf(2), '', ...linesOf(1)].join('\n'),
      '--stream',
      'replaced',
      '--kind',
      'replace',
    );
    expect(twice).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^Nothing was stored\.\nLine 1: Line 1 has the same .* as line 4\. .*\nLine 4: Line 4 has the same .* as line 1\. .*\n$/,
      ),
    });
    const replaced = await pipe(linesOf(2, '5').join('\n'), '--stream', 'replaced', '--kind', 'replace');
    expect(replaced).toMatchObject({ code: 0, stdout: expect.stringContaining('; 2 earlier records hidden') });
    expect(await liveOf('replaced')).toEqual(['2026-01-03 hooli 0.1', '2026-01-02 hooli 5', '2026-01-01 hooli 5']);
    const inParts = await pipe(linesOf(2).join('\n'), '--stream', 'replaced', '--kind', 'replace', '--part', '1');
    expect(inParts).toMatchObject({ code: 2, stderr: expect.stringMatching(/^A replace is always one request, /) });
  });

  test('reads cells that are quoted as in RFC 4180, and counts the lines in them', async () => {
    const csv = [
      'timestamp;granularity;element;value;region;note',
      '2026-01-01;DAILY;"a ""quoted"" name; with a semicolon";1;eu;"over',
      'two lines"',
      '2026-01-02;DAILY;b;-2;a|b\\|c;x',
      '2026-01-03;DAILY;b;2;eu',
      '',
    ].join('\r\n');
    const flags = ['--stream', 'quoted', '--delimiter', ';', '--ignore', 'note'];
    const refused = await pipe(csv, ...flags);
    expect(refused).toMatchObject({
      code: 1,
      stderr: `Nothing was stored.
Line 4, column "value", cell "-2": Must be 0 or more.
Line 5: The row has 5 cells, and the header has 6.
The header has: "timestamp", "granularity", "element", "value", "region", "note", separated by ";".
`,
    });
    const short = csv.replace(/2026-01-03.*\r\n/, '');
    expect((await pipe(short, ...flags)).stderr).toMatch(/^Nothing was stored\.\nLine 4, column "value", .*\n/);
    expect(await pipe(short.replace('-2;', '2;'), ...flags, '--split-values')).toMatchObject({ code: 0 });
    const { usage } = await server.graphql<{ usage: { series: unknown[] } }>(
      `{ usage(input: { meterApiNames: ["quoted"], from: "2026-01-01T00:00:00Z", to: "2026-01-03T00:00:00Z",
          aggregationBucket: MONTH, groupBy: ["element", "region"] }) {
        ... on Usage { series { group { values } total } }
      } }`,
    );
    expect(usage.series).toEqual([
      { group: [{ values: ['a "quoted" name; with a semicolon'] }, { values: ['eu'] }], total: '1' },
      { group: [{ values: ['b'] }, { values: ['a', 'b|c'] }], total: '2' },
    ]);
  });

  test('stores nothing and explains why when the input cannot be read', async () => {
    const head = 'timestamp,element,value';
    const daily = ['--granularity', 'daily'];
    const attempts: [content: string | Buffer, flags: string[], words: RegExp][] = [
      ['', [], /^Nothing was stored\.\nThe input contains no records\.\n$/],
      ['[{"timestamp":1}]', [], /The input is a JSON array\. Convert it to one record per line/],
      [
        gzipSync(linesOf(20).join('\n')).subarray(0, 60),
        [],
        /Standard input is not a complete gzip file \(unexpected end of file\)\./,
      ],
      [`${head}\n2026-01-01,a,1`, [], /No column is the granularity\. Set that .* --granularity/],
      [`when,element,value\n`, daily, /No column is the timestamp\. Name it with --column timestamp=NAME\./],
      [`${head},date\n`, daily, /"timestamp" and "date" could both be the timestamp\. /],
      [`${head},x,x\n`, daily, /Two columns have the name "x"\./],
      [
        `${head},meterApiName\n`,
        daily,
        /Column "meterApiName" cannot be a dimension\. Ignore it with --ignore meterApiName\./,
      ],
      [
        `${head}\n`,
        [...daily, '--column', 'value=Cost'],
        /Column "Cost" does not exist\.\nThe header has: "timestamp", "element", "value", separated by ","\./,
      ],
      [`${head}\n2026-01-01,"a,1\n`, daily, /Line 2, column "element": A quote in this row is never closed\./],
      [Buffer.from(`${head}\n2026-01-01,\xff,1\n`, 'latin1'), daily, /Line 2: Is not UTF-8\./],
    ];
    const outcomes = await Promise.all(
      attempts.map(([content, flags]) => pipe(content, '--stream', 'unreadable', ...flags)),
    );
    for (const [index, { code, stderr }] of outcomes.entries()) {
      expect(stderr).toMatch(attempts[index]![2]);
      expect(code).toBe(1);
    }
    expect(await ingest(join(directory, 'nowhere.csv'), '--stream', 'unreadable')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^".*nowhere\.csv" cannot be read \(no such file\)\.\n$/),
    });
    expect(await liveOf('unreadable')).toEqual([]);
  });

  test('accepts the default of --part that its help shows and larger numbers, and rejects other text', async () => {
    const { stdout: help } = await ingest('--help');
    const [, told = ''] = /--part <records> [^()]*\(default:\s+(\d+)/.exec(help) ?? [];
    expect(told).toMatch(/^[1-9]/);
    const file = await fileOf('whole.ndjson', linesOf(2).join('\n'));
    for (const part of [told, '999999999']) {
      const outcome = await ingest(file, '--stream', 'whole', '--part', part);
      expect(outcome.stderr).not.toContain('--part');
      expect(outcome.stdout).toMatch(/^Part 1: 2 records, up to line 2, /);
    }
    expect(await liveOf('whole')).toHaveLength(2);
    const refused = await Promise.all(
      ['0', '1000000000', '1e6', ''].map((part) => ingest(file, '--stream', 'whole', '--part', part)),
    );
    for (const { code, stderr } of refused) {
      expect(stderr).toContain('Expected a whole number from 1 to 999999999.');
      expect(code).toBe(2);
    }
  });

  test('finds the file in the directory in which npm was called', async () => {
    await fileOf('here.ndjson', linesOf(1).join('\n'));
    const found = await runSluice('cli', ['ingest', 'here.ndjson', '--stream', 'here'], {
      ...settings(),
      npm_lifecycle_event: 'sluice',
      INIT_CWD: directory,
    });
    expect(found).toMatchObject({ code: 0, stderr: '' });
  });

  test('lists the first 100 of many invalid lines, and their number', async () => {
    const { stderr } = await pipe(Array.from({ length: 250 }, () => '{}').join('\n'), '--stream', 'many');
    const lines = stderr.trimEnd().split('\n');
    expect(lines[0]).toBe('Nothing was stored.');
    expect(lines.at(-1)).toMatch(/^and [\d,]+ more problems\.$/);
    expect(lines).toHaveLength(102);
  });
});

/** A proxy that applies one of the faults to each request, in their order, and forwards all others. */
const startBetween = async (faults: ('lose the response' | 'hold the response' | 'unavailable')[]) => {
  const requests: IncomingHttpHeaders[] = [];
  const between: Server = createServer((request, response) => {
    requests.push(request.headers);
    const fault = faults.shift();
    if (fault === 'unavailable') {
      request.resume().on('end', () => {
        response.writeHead(503, { 'retry-after': '1', 'content-type': 'application/json' });
        response.end('{"error":{"code":"UNAVAILABLE","message":"The database is down."}}');
      });
      return;
    }
    const onward = httpRequest(`${server.url}${request.url}`, { method: request.method, headers: request.headers });
    onward.on('response', (answer) => {
      if (fault === 'hold the response') answer.resume();
      else if (fault === 'lose the response') answer.resume().on('end', () => request.socket.destroy());
      else {
        response.writeHead(answer.statusCode ?? 0, answer.headers);
        answer.pipe(response);
      }
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  }).listen(0, '127.0.0.1');
  await once(between, 'listening');
  return {
    requests,
    url: `http://127.0.0.1:${(between.address() as AddressInfo).port}`,
    close: async () => {
      between.closeAllConnections();
      between.close();
      await once(between, 'close');
    },
  };
};

test.each([
  ['idle', []],
  ['idle', ['--dry-run']],
  ['at its end', []],
  ['at its end', ['--dry-run']],
] as const)('ingest - > exits with 130 after SIGINT while standard input is %s %j', async (state, flags) => {
  const child = spawn(process.execPath, [SLUICE_CLI, 'ingest', '-', '--stream', 'idle-input', ...flags], {
    env: sluiceEnvironment(settings()),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const impatience = setTimeout(() => child.kill('SIGKILL'), 20_000);
  child.stdin.on('error', () => undefined);
  const output = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  // More than a pipe holds: the command reads when all of it is written.
  await new Promise((resolve) => child.stdin.write(`${linesOf(28).join('\n')}\n`.repeat(600), resolve));
  child.kill('SIGINT');
  if (state === 'at its end') child.stdin.end();
  const [stdout, , [code]] = await output;
  clearTimeout(impatience);
  expect([code, stdout]).toEqual([130, '']);
  expect(await liveOf('idle-input')).toEqual([]);
});

describe('ingest over an unreliable connection', () => {
  test('sends a part again when its response is lost, and counts it once', async () => {
    const between = await startBetween(['lose the response', 'unavailable']);
    try {
      const file = await fileOf('lost.ndjson', linesOf(2).join('\n'));
      const { code, stdout, stderr } = await runSluice('cli', ['ingest', file, '--stream', 'lost'], {
        ...settings(),
        SLUICE_URL: between.url,
      });
      expect(stderr).toMatch(
        /^The server at \S+ cannot be reached \(ECONNRESET\)\. Retrying part 1\.\nThe database is down\. Retrying part 1\.\n/,
      );
      expect(stdout).toContain('Part 1: 2 records, up to line 2, already stored\n');
      expect(code).toBe(0);
      expect(await liveOf('lost')).toEqual(['2026-01-02 hooli 0.1', '2026-01-01 hooli 0.1']);
    } finally {
      await between.close();
    }
  });

  test('compresses records for other machines, in each attempt, and not for this machine', async () => {
    const between = await startBetween(['unavailable', 'lose the response']);
    try {
      const lines = linesOf(28, '12345678901234567890.123456789012').join('\n');
      const file = await fileOf('far.ndjson', lines);
      // An address of this machine that does not look like one.
      const far = between.url.replace('127.0.0.1', '0.0.0.0');
      const sent = await runSluice('cli', ['ingest', file, '--stream', 'far', '--url', far], settings());
      expect(sent.stderr.match(/Retrying part 1\./g)).toHaveLength(2);
      expect(sent).toMatchObject({ code: 0, stdout: expect.stringContaining('28 records, up to line 28') });
      const [first, ...again] = between.requests.splice(0);
      expect(first).toMatchObject({ 'content-encoding': 'gzip', 'content-type': 'application/x-ndjson' });
      expect(Number(first?.['content-length'])).toBeLessThan(lines.length / 5);
      expect(again).toEqual([first, first]);
      expect(await liveOf('far')).toEqual(
        Array.from(
          { length: 28 },
          (_, day) => `2026-01-${String(28 - day).padStart(2, '0')} hooli 12345678901234567890.123456789012`,
        ),
      );

      const near = await runSluice('cli', ['ingest', file, '--stream', 'near', '--url', between.url], settings());
      expect(near.code).toBe(0);
      expect(between.requests.map((headers) => headers['content-encoding'])).toEqual([undefined]);
    } finally {
      await between.close();
    }
  });

  test('prints what was stored after Ctrl-C, and continues when it runs again', async () => {
    const between = await startBetween(['hold the response']);
    try {
      const file = await fileOf('stopped.ndjson', linesOf(2).join('\n'));
      const args = ['ingest', file, '--stream', 'stopped'];
      const stopped = startCommand(args, { ...settings(), SLUICE_URL: between.url });
      await expect.poll(() => liveOf('stopped'), { timeout: 30_000 }).toHaveLength(2);
      stopped.interrupt();
      expect(await stopped.ended).toBe(130);
      expect(stopped.stderr).toBe(
        'Stopped. It is unknown whether part 1 was stored. Run the same command again with the same input and options; stored records count once.\n',
      );
      expect(await runSluice('cli', args, settings())).toMatchObject({ code: 0 });
      expect(await liveOf('stopped')).toEqual(['2026-01-02 hooli 0.1', '2026-01-01 hooli 0.1']);
    } finally {
      await between.close();
    }
  });

  test('exits with 1 when --patience is over, or immediately when the server rejects the API key', async () => {
    const file = await fileOf('away.ndjson', linesOf(1).join('\n'));
    const [away, refused] = await Promise.all([
      ingest(file, '--stream', 'away', '--url', 'http://127.0.0.1:1', '--patience', '1s'),
      runSluice('cli', ['ingest', file, '--stream', 'away'], { SLUICE_URL: server.url, API_KEY: 'not-a-key' }),
    ]);
    expect(away.code).toBe(1);
    expect(away.stderr).toMatch(
      /Retrying part 1\.[\s\S]*It is unknown whether part 1 was stored\. Run the same command again/,
    );
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^Nothing was stored\.\nThe server at http:\S+ rejected the API key in API_KEY\. It is unknown or revoked\.\n$/,
      ),
    });
  });

  test.runIf(process.platform === 'linux')('draws a bar of what was read and sent in a terminal', async () => {
    const file = await fileOf('bar.ndjson', linesOf(28).join('\n'));
    const { code, stdout } = await runInTerminal(['ingest', file, '--stream', 'bar', '--part', '7'], {
      columns: 100,
      settings: settings(),
    });
    expect(code).toBe(0);
    // oxlint-disable-next-line no-control-regex -- the colours and the erased line are what it takes out
    const states = stdout.split('\r\u001b[2K').map((shown) => shown.replaceAll(/\u001b\[\d+m/g, ''));
    expect(states).toContainEqual(
      expect.stringMatching(/^Storing part 4 ━+ 3\.\d+ kB of 3\.\d+ kB, 28 sent, [\d,]+\/s$/),
    );
    expect(states.at(-1)).toMatch(/^Stored: 28 records in "bar" in 4 parts, in /);
  });
});
