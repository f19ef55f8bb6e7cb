import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { querySql } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { runSluice } from '../support/sluice-process.ts';
import { readRecords, verdict, write } from '../streams/writes.ts';
import { ask, type RestFailure, recordsOf, send } from './requests.ts';

const NOW = new Date('2026-11-25T12:00:00Z');

let server: TestServer;
let directory: string;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' }, resources: { clock: { now: () => NOW } } });
  directory = await mkdtemp(join(tmpdir(), 'sluice-timestamps-test-'));
});
afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

const FORMS = ['JSON', 'NDJSON'] as const;
const GRANULARITIES = ['HOURLY', 'DAILY', 'MONTHLY'] as const;

let streams = 0;
const newStream = (): string => `stream-${(streams += 1)}`;

const recordText = (timestamp: unknown, granularity: string, element = 'hooli'): string =>
  JSON.stringify({ timestamp, granularity, filter: {}, 'element-name': element, value: '1' });

/** The kind of client, the text, the hour of its instant in UTC, and the date as written. */
const ACCEPTED: readonly (readonly [writer: string, text: string, hour: string, date: string])[] = [
  ['Python isoformat', '2026-11-20T00:00:00', '2026-11-20T00', '2026-11-20'],
  ['Python isoformat, with microseconds', '2026-11-20T00:00:00.123456+00:00', '2026-11-20T00', '2026-11-20'],
  ['Python isoformat(" ")', '2026-11-20 00:00:00.123456', '2026-11-20T00', '2026-11-20'],
  ['Python isoformat(" "), with an offset', '2026-11-20 00:00:00.123456+05:30', '2026-11-19T18', '2026-11-20'],
  ['Python isoformat of a date', '2026-11-20', '2026-11-20T00', '2026-11-20'],
  ['Python strftime %z', '2026-11-20T00:00:00+0100', '2026-11-19T23', '2026-11-20'],
  ['pandas', '2026-11-20 00:00:00+00:00', '2026-11-20T00', '2026-11-20'],
  ['Go String, UTC', '2026-11-20 00:00:00 +0000 UTC', '2026-11-20T00', '2026-11-20'],
  ['Go String, with nanoseconds', '2026-11-20 00:00:00.123456789 +0100 CET', '2026-11-19T23', '2026-11-20'],
  ['Go String, a zone without letters', '2026-11-20 00:00:00 +0300 +03', '2026-11-19T21', '2026-11-20'],
  ['Go String, with a monotonic clock', '2026-11-20 00:00:00.5 +0000 UTC m=+0.000012', '2026-11-20T00', '2026-11-20'],
  ['Go RFC3339Nano', '2026-11-20T00:00:00.123456789+01:00', '2026-11-19T23', '2026-11-20'],
  ['Go RFC3339', '2026-11-20T23:30:00-08:00', '2026-11-21T07', '2026-11-20'],
  ['Java ZonedDateTime', '2026-11-20T00:00+01:00[Europe/Berlin]', '2026-11-19T23', '2026-11-20'],
  ['Java ZonedDateTime, UTC', '2026-11-20T00:00Z[UTC]', '2026-11-20T00', '2026-11-20'],
  ['Java OffsetDateTime', '2026-11-20T00:00+01:00', '2026-11-19T23', '2026-11-20'],
  ['Java LocalDateTime', '2026-11-20T08:30', '2026-11-20T08', '2026-11-20'],
  ['Java Instant', '2026-11-20T00:00:00.123456Z', '2026-11-20T00', '2026-11-20'],
  ['java.sql.Timestamp', '2026-11-20 00:00:00.0', '2026-11-20T00', '2026-11-20'],
  ['Jackson', '2026-11-20T00:00:00.000+0000', '2026-11-20T00', '2026-11-20'],
  ['JavaScript toISOString', '2026-11-20T00:00:00.000Z', '2026-11-20T00', '2026-11-20'],
  ['JavaScript Temporal', '2026-11-20T00:00:00+01:00[Europe/Berlin][u-ca=gregory]', '2026-11-19T23', '2026-11-20'],
  ['.NET "O"', '2026-11-20T00:00:00.0000000+01:00', '2026-11-19T23', '2026-11-20'],
  ['PostgreSQL timestamptz', '2026-11-20 00:00:00+00', '2026-11-20T00', '2026-11-20'],
  ['PostgreSQL timestamptz, half an hour', '2026-11-20 00:00:00.123456+05:30', '2026-11-19T18', '2026-11-20'],
  ['PostgreSQL timestamp', '2026-11-20 00:00:00.123456', '2026-11-20T00', '2026-11-20'],
  ['PostgreSQL date', '2026-11-20', '2026-11-20T00', '2026-11-20'],
  ['MySQL DATETIME', '2026-11-20 00:00:00', '2026-11-20T00', '2026-11-20'],
  ['MySQL DATETIME(6)', '2026-11-20 00:00:00.000000', '2026-11-20T00', '2026-11-20'],
  ['Ruby Time#to_s', '2026-11-20 00:00:00 +0100', '2026-11-19T23', '2026-11-20'],
  ['Ruby Time#to_s, UTC', '2026-11-20 00:00:00 UTC', '2026-11-20T00', '2026-11-20'],
  ['BigQuery', '2026-11-20 00:00:00.123456 UTC', '2026-11-20T00', '2026-11-20'],
  ['Excel, as text', '2026-11-20 08:30', '2026-11-20T08', '2026-11-20'],
  ['Excel, an hour of one digit', '2026-11-20 8:30', '2026-11-20T08', '2026-11-20'],
  ['AWS', '20261120T000000Z', '2026-11-20T00', '2026-11-20'],
  ['AWS, the date', '20261120', '2026-11-20T00', '2026-11-20'],
  ['ISO 8601 basic format', '20261120T083000+0100', '2026-11-20T07', '2026-11-20'],
  ['ISO 8601 basic format, minutes', '20261120T0830', '2026-11-20T08', '2026-11-20'],
  ['ISO 8601, hours', '2026-11-20T08Z', '2026-11-20T08', '2026-11-20'],
  ['ISO 8601, a comma', '2026-11-20T00:00:00,123+01:00', '2026-11-19T23', '2026-11-20'],
  ['a log of Python', '2026-11-20 00:00:00,123', '2026-11-20T00', '2026-11-20'],
  ['lower case', '2026-11-20t00:00:00z', '2026-11-20T00', '2026-11-20'],
  ['minutes and Z', '2026-11-20T00:00Z', '2026-11-20T00', '2026-11-20'],
  ['an offset of hours', '2026-11-20T00:00:00+01', '2026-11-19T23', '2026-11-20'],
  ['an offset west', '2026-11-20T00:00:00-11', '2026-11-20T11', '2026-11-20'],
  ['a blank before Z', '2026-11-20 00:00:00 Z', '2026-11-20T00', '2026-11-20'],
  ['GMT', '2026-11-20 00:00:00 GMT', '2026-11-20T00', '2026-11-20'],
  ['a fraction of 900 digits', `2026-11-20T00:59:59.${'9'.repeat(900)}Z`, '2026-11-20T00', '2026-11-20'],
  // Midnight at the end of a day is the start of the next day, for any granularity.
  ['hour 24', '2026-11-20T24:00:00Z', '2026-11-21T00', '2026-11-21'],
  ['hour 24, with an offset', '2026-11-20 24:00+01:00', '2026-11-20T23', '2026-11-21'],
  ['hour 24, at the end of the month', '2026-10-31T24:00:00.000', '2026-11-01T00', '2026-11-01'],
  ['a leap day', '2024-02-29T12:00', '2024-02-29T12', '2024-02-29'],
  ['the first day', '0001-01-01', '0001-01-01T00', '0001-01-01'],
];

const bucketsOf = ([, , hour, date]: (typeof ACCEPTED)[number]): Record<(typeof GRANULARITIES)[number], string> => ({
  HOURLY: `${hour}:00:00Z`,
  DAILY: `${date}T00:00:00Z`,
  MONTHLY: `${date.slice(0, 7)}-01T00:00:00Z`,
});

/** The buckets of a stream by element. */
const buckets = async (stream: string): Promise<Record<string, string>> =>
  Object.fromEntries((await recordsOf(server, stream)).map((record) => [record['element-name'], record.timestamp]));

describe.each(GRANULARITIES)('a timestamp in any spelling of ISO 8601 > has its %s bucket', (granularity) => {
  const expected = Object.fromEntries(ACCEPTED.map((row) => [row[0], bucketsOf(row)[granularity]]));

  test.each(FORMS)('in %s', async (form) => {
    const stream = newStream();
    const records = ACCEPTED.map(([writer, text]) => recordText(text, granularity, writer));
    expect((await send(server, form, [stream, 'sum'], records)).status).toBe(200);
    expect(await buckets(stream)).toEqual(expected);
    // Each of them selects its own bucket, too.
    const selectors = ACCEPTED.map(([writer, timestamp]) =>
      JSON.stringify({ timestamp, granularity, 'element-name': writer }),
    );
    expect((await send(server, form, [stream, 'delete'], selectors)).body).toMatchObject({
      hiddenRecords: ACCEPTED.length,
    });
  });

  test('in CSV', async () => {
    const stream = newStream();
    const file = join(directory, `${stream}.csv`);
    const rows = ACCEPTED.map(([writer, text]) => `"${writer.replaceAll('"', '""')}","${text}",1\n`);
    await writeFile(file, `element,timestamp,value\n${rows.join('')}`);
    const args = ['ingest', file, '--stream', stream, '--granularity', granularity.toLowerCase()];
    const outcome = await runSluice('cli', args, { SLUICE_URL: server.url, API_KEY: server.key });
    expect([outcome.code, outcome.stderr]).toEqual([0, expect.anything()]);
    expect(await buckets(stream)).toEqual(expected);
  });
});

/** A text, and the reason in the message. */
const REFUSED: readonly (readonly [text: string, reason: string])[] = [
  ['Nov 20, 2026', 'month names are not supported'],
  ['20 November 2026 00:00:00', 'month names are not supported'],
  ['Fri, 20 Nov 2026 00:00:00 GMT', 'month names are not supported'],
  ['Fri Nov 20 2026 00:00:00 GMT+0100 (CET)', 'month names are not supported'],
  ['20/Nov/2026:00:00:00 +0000', 'month names are not supported'],
  ['20-NOV-26', 'month names are not supported'],
  ['20NOV2026', 'month names are not supported'],
  ['Sept. 20, 2026', 'month names are not supported'],
  ['market day 3', 'it does not begin with a date of the form YYYY-MM-DD or YYYYMMDD'],
  ['26-11-20', 'two-digit years are ambiguous'],
  ['11/20/26 08:30', 'two-digit years are ambiguous'],
  ['11/20/2026', 'the order of day and month is ambiguous; the year comes first'],
  ['20.11.2026 08:30', 'the order of day and month is ambiguous; the year comes first'],
  ['2026-W47-5', 'week dates are not supported'],
  ['2026W475T00:00:00Z', 'week dates are not supported'],
  ['2026-324', 'ordinal dates (the day of the year) are not supported'],
  ['2026-324T00:00:00Z', 'ordinal dates (the day of the year) are not supported'],
  ['1795132800', 'a number alone, such as epoch seconds, does not say its unit'],
  ['1795132800000', 'a number alone, such as epoch seconds, does not say its unit'],
  ['1795132800.123', 'a number alone, such as epoch seconds, does not say its unit'],
  ['1.7951328e9', 'a number alone, such as epoch seconds, does not say its unit'],
  ['-1795132800', 'a number alone, such as epoch seconds, does not say its unit'],
  ['46346', 'a number alone, such as epoch seconds, does not say its unit'],
  ['20261120000000', 'a number alone, such as epoch seconds, does not say its unit'],
  ['2026-11', 'it has no day'],
  ['', 'it does not begin with a date of the form YYYY-MM-DD or YYYYMMDD'],
  ['yesterday', 'it does not begin with a date of the form YYYY-MM-DD or YYYYMMDD'],
  ['2026/11/20', 'it does not begin with a date of the form YYYY-MM-DD or YYYYMMDD'],
  ['2026-1-2', 'it does not begin with a date of the form YYYY-MM-DD or YYYYMMDD'],
  ['infinity', 'it does not begin with a date of the form YYYY-MM-DD or YYYYMMDD'],
  [' 2026-11-20', 'it begins or ends with a blank'],
  ['2026-11-20 00:00:00 ', 'it begins or ends with a blank'],
  ['2026-11-20T', 'there is no time of day after the date'],
  ['2026-11-20 UTC', 'there is no time of day after the date'],
  ['2026-11-20T00:00:0', 'the time of day is not of the form hh:mm, hh:mm:ss, hhmm or hhmmss'],
  ['2026-11-20T000', 'the time of day is not of the form hh:mm, hh:mm:ss, hhmm or hhmmss'],
  ['2026-11-20T00:00.5', 'only seconds can have a fraction'],
  ['2026-11-20T00:00:00.', 'there are no digits after the decimal point of the seconds'],
  ['2026-11-20 08:30 AM', 'times of day have 24 hours, without AM and PM'],
  ['2026-11-20 08:30:00PM', 'times of day have 24 hours, without AM and PM'],
  ['2026-11-20 08:30 a.m.', 'times of day have 24 hours, without AM and PM'],
  ['2026-11-20 08:30 P.M.', 'times of day have 24 hours, without AM and PM'],
  ['2026-11-20 08:30 AMT', '"AMT" is not an offset from UTC; abbreviations of time zones are ambiguous'],
  ['2026-11-20T00:00:00+1', 'the offset is not of the form +hh:mm, +hhmm or +hh'],
  ['2026-11-20T00:00:00+01:0', 'the offset is not of the form +hh:mm, +hhmm or +hh'],
  ['2026-11-20T00:00:00+24:00', 'there is no offset +24:00'],
  ['2026-11-20 00:00:00 CET', '"CET" is not an offset from UTC; abbreviations of time zones are ambiguous'],
  ['2026-11-20 00:00:00 BC', '"BC" is not an offset from UTC; abbreviations of time zones are ambiguous'],
  ['2026-11-20 00:00:00+00 BC', '" BC" is unexpected'],
  ['2026-11-20 00:00:00 Europe/Berlin', 'a time zone name needs an offset before it'],
  ['2026-11-20T00:00:00[Europe/Berlin]', 'a time zone name needs an offset before it'],
  ['2026-11-20T00:00:00+01:00[Europe/Berlin', '"[Europe/Berlin" is unexpected'],
  ['2026-11-20T00:00:00Z/2026-11-20T01:00:00Z', 'it is an interval; send its start'],
  ['2026-11-20T00:00:00/2026-11-20T01:00:00', 'it is an interval; send its start'],
  ['2026-11-20T00:00:00Zx', '"Zx" is not an offset from UTC; abbreviations of time zones are ambiguous'],
  ['2026-02-29', 'there is no day 2026-02-29'],
  ['2026-13-01T00:00:00Z', 'there is no day 2026-13-01'],
  ['0000-00-00 00:00:00', 'there is no day 0000-00-00'],
  ['2026-11-20T25:00:00Z', 'there is no time of day 25:00:00'],
  ['2026-11-20T99:00:60Z', 'there is no time of day 99:00:60'],
  ['2026-11-20T24:00:60', 'the hour 24 is midnight, 24:00:00, alone'],
  ['2026-11-20T00:60', 'there is no time of day 00:60:00'],
  ['2026-11-20T24:00:01', 'the hour 24 is midnight, 24:00:00, alone'],
  ['2016-12-31T23:59:60Z', 'leap seconds are not stored'],
  ['0000-12-31', 'it lies outside the years 1 to 9999'],
  ['9999-12-31T24:00', 'it lies outside the years 1 to 9999'],
  ['+002026-11-20T00:00:00Z', 'years with a sign or with more than four digits are not supported'],
  ['+012026-11-20T00:00:00Z', 'years with a sign or with more than four digits are not supported'],
  ['-000001-12-31T00:00:00Z', 'years with a sign or with more than four digits are not supported'],
  ['-0044-03-15', 'years with a sign or with more than four digits are not supported'],
  ['+2026-11-20', 'years with a sign or with more than four digits are not supported'],
  ['+0020261120T000000Z', 'years with a sign or with more than four digits are not supported'],
  ['002026-11-20T00:00:00Z', 'years with a sign or with more than four digits are not supported'],
  ['12026-11-20', 'years with a sign or with more than four digits are not supported'],
  [`2026-11-20T00:00:00.${'0'.repeat(1000)}Z`, 'it has more than 1000 characters'],
];

test.each(FORMS)(
  'a timestamp in another form > is refused with the reason and what is accepted, in %s',
  async (form) => {
    for (const [text, reason] of REFUSED) {
      const { status, body } = await send<RestFailure>(server, form, ['refused', 'sum'], [recordText(text, 'DAILY')]);
      const issue = { path: ['records', '0', 'timestamp'], code: 'BAD_TIMESTAMP', message: expect.any(String) };
      expect([text, status, body.error.issues]).toEqual([text, 400, [issue]]);
      expect(body.error.issues[0]?.message).toContain(` is not accepted: ${reason}. Send ISO 8601, for example`);
    }
  },
);

describe('the declaration of completeness', () => {
  const declare = async (stream: string, through: unknown) =>
    ask(server, `POST /unit-cost/v1/telemetry/${stream}/complete`, { body: { through } });

  test('reads an instant in any spelling of ISO 8601', async () => {
    const stream = newStream();
    await send(server, 'JSON', [stream, 'sum'], [recordText('2026-11-20', 'HOURLY')]);
    const declared: Record<string, unknown> = {};
    for (const [writer, text] of ACCEPTED) {
      const { status } = await declare(stream, text);
      expect([text, status]).toEqual([text, 200]);
      const [row] = await querySql<{ hour: string }>(
        server,
        `SELECT to_char(complete_through AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS hour 
         FROM operations o JOIN streams s ON s.account_id = o.account_id AND s.id = o.stream_id WHERE s.name = $1 ORDER BY o.id DESC LIMIT 1`,
        [stream],
      );
      declared[writer] = row?.hour;
    }
    expect(declared).toEqual(Object.fromEntries(ACCEPTED.map((row) => [row[0], bucketsOf(row).HOURLY])));
  });

  test('is refused if it is absent or is not a timestamp', async () => {
    const stream = newStream();
    await send(server, 'JSON', [stream, 'sum'], [recordText('2026-11-20', 'HOURLY')]);
    for (const [through, code] of [
      ['soon', 'BAD_TIMESTAMP'],
      [1_795_132_800, 'BAD_TYPE'],
      [undefined, 'REQUIRED'],
    ]) {
      const { status, body } = await declare(stream, through);
      expect([status, body.error.issues]).toMatchObject([400, [{ path: ['through'], code }]]);
    }
  });
});

test.each(FORMS)('a timestamp that is a JSON number > is refused with the reason, in %s', async (form) => {
  for (const number of [1_795_132_800, 1_795_132_800_000, 46_346.5]) {
    const { status, body } = await send<RestFailure>(server, form, ['refused', 'sum'], [recordText(number, 'DAILY')]);
    expect([status, body.error.issues]).toEqual([
      400,
      [
        {
          path: ['records', '0', 'timestamp'],
          code: 'BAD_TYPE',
          message: 'Must be a string such as "2026-01-25T00:00:00Z". A number such as epoch seconds has no unit.',
        },
      ],
    ]);
  }
});

test('a message about a long text > quotes 40 characters of it', async () => {
  const text = `x${'\u0000'.repeat(100_000)}`;
  const { body } = await send<RestFailure>(server, 'JSON', ['refused', 'sum'], [recordText(text, 'DAILY')]);
  expect(body.error.issues[0]?.message.length).toBeLessThan(700);
});

const two = (number: number): string => String(number).padStart(2, '0');

test('any time with any offset > has the hour of its instant, and the day and month as written', async () => {
  const moment = fc.record({
    date: fc.date({
      min: new Date('1900-01-01T00:00:00Z'),
      max: new Date('2026-11-24T23:59:59Z'),
      noInvalidDate: true,
    }),
    offset: fc.integer({ min: -23 * 60 - 59, max: 23 * 60 + 59 }),
    spelling: fc.constantFrom('rfc', 'compact', 'blank', 'ruby', 'go', 'java', 'basic'),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(moment, { minLength: 50, maxLength: 50, size: 'max' }), async (moments) => {
      const texts = moments.map(({ date, offset, spelling }) => {
        const [day = '', time = ''] = date.toISOString().slice(0, 19).split('T');
        const size = Math.abs(offset);
        const [sign, hours, minutes] = [offset < 0 ? '-' : '+', two(Math.floor(size / 60)), two(size % 60)];
        const texts: Record<typeof spelling, string> = {
          rfc: `${day}T${time}${sign}${hours}:${minutes}`,
          compact: `${day}T${time}${sign}${hours}${minutes}`,
          blank: `${day} ${time},5${sign}${hours}:${minutes}`,
          ruby: `${day} ${time} ${sign}${hours}${minutes}`,
          go: `${day} ${time}.000000001 ${sign}${hours}${minutes} XYZ`,
          java: `${day}T${time.slice(0, 5)}${sign}${hours}:${minutes}[Mars/Base]`,
          basic: `${`${day}T${time}`.replaceAll(/[-:]/g, '')}${sign}${hours}${minutes}`,
        };
        return texts[spelling];
      });
      for (const granularity of GRANULARITIES) {
        const stream = newStream();
        await send(
          server,
          'JSON',
          [stream, 'sum'],
          texts.map((text, index) => recordText(text, granularity, `e${index}`)),
        );
        const expected = moments.map(({ date, offset }, index) => {
          const hour = new Date(Math.floor((date.getTime() - offset * 60_000) / 3_600_000) * 3_600_000).toISOString();
          const written = date.toISOString();
          const start = {
            HOURLY: `${hour.slice(0, 13)}:00:00Z`,
            DAILY: `${written.slice(0, 10)}T00:00:00Z`,
            MONTHLY: `${written.slice(0, 7)}-01T00:00:00Z`,
          };
          return [`e${index}`, start[granularity]];
        });
        expect(await buckets(stream)).toEqual(Object.fromEntries(expected));
      }
    }),
    { numRuns: 8, endOnFailure: true },
  );
});

describe('GraphQL', () => {
  const record = (timestamp: string, granularity: string) => ({
    timestamp,
    granularity,
    elementName: 'hooli',
    value: '1',
  });

  test('a timestamp with an offset > has the date as written, in records and in selectors', async () => {
    for (const granularity of ['DAILY', 'MONTHLY']) {
      const stream = newStream();
      const sent = ['2026-11-01T00:00:00+01:00', '2026-11-01T23:59:59-11:00', '2026-11-01T12:00:00Z'];
      await write(server, 'Sum', { stream, records: sent.map((one) => record(one, granularity)) });
      expect(await readRecords(server, stream)).toMatchObject([{ timestamp: '2026-11-01T00:00:00Z', value: '3' }]);
      const selector = { timestamp: '2026-11-01T01:00:00+14:00', granularity };
      const hidden = await write(server, 'Delete', { stream, records: [selector] });
      expect(hidden.operation?.hiddenRecords).toBe(3);
    }
  });

  test('a timestamp in another spelling than RFC 3339 > is refused', async () => {
    for (const text of ['2026-11-20', '2026-11-20 00:00:00', '2026-11-20T00:00:00+0100', '2026-11-20T24:00:00Z']) {
      const told = await write(server, 'Sum', { stream: 'refused', records: [record(text, 'DAILY')] });
      expect(verdict(told)).toBe('input.records.0.timestamp: BAD_TIMESTAMP');
      expect(told.issues?.[0]?.message).toContain('RFC 3339');
    }
  });
});

test.each([
  // At 12:00 on 25 November 2026 the last bucket may start at 12:00 on the 26th.
  ['HOURLY', '2026-11-26T12:59:59Z', true],
  ['HOURLY', '2026-11-26T13:00:00Z', false],
  ['DAILY', '2026-11-26T23:59:59Z', true],
  ['DAILY', '2026-11-26T23:59:59-11:00', true],
  ['DAILY', '2026-11-27T00:00:00Z', false],
  ['DAILY', '2026-11-27T00:00:00+14:00', false],
  ['MONTHLY', '2026-11-30', true],
  ['MONTHLY', '2026-11-30T23:59:59-12:00', true],
  ['MONTHLY', '2026-12-01', false],
  ['MONTHLY', '2026-12-01T00:00:00+14:00', false],
])('the future limit > judges the start of the %s bucket of %s: %s', async (granularity, timestamp, isAccepted) => {
  for (const form of FORMS) {
    const answer = await send<RestFailure>(server, form, [newStream(), 'sum'], [recordText(timestamp, granularity)]);
    if (isAccepted) expect(answer.status).toBe(200);
    else expect([answer.status, answer.body.error.issues]).toMatchObject([400, [{ code: 'FUTURE_TIMESTAMP' }]]);
  }
});

test('the route for records > answers what was sent as calendar dates', async () => {
  const stream = newStream();
  const path = `/unit-cost/v1/telemetry/allocation/${stream}/sum`;
  const body = `{"records":[${recordText('2026-11-20T00:00:00+01:00', 'DAILY')}]}`;
  expect((await ask(server, `POST ${path}`, { body })).status).toBe(200);
  expect(await recordsOf(server, stream)).toMatchObject([{ timestamp: '2026-11-20T00:00:00Z' }]);
});
