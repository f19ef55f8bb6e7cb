import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { DATABASE_CHECKS } from '../../src/cli/checks/database-checks.ts';
import { loadConfig } from '../../src/config/config.ts';
import type { Db } from '../../src/db/client.ts';
import { openCommandDatabase } from '../../src/cli/command-database.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { startCollector } from '../support/collector.ts';
import { urlOfDatabase, withClient } from '../support/postgres-admin.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { runSluice, type Settings } from '../support/sluice-process.ts';
import { startSmtp, type TestSmtp } from '../support/smtp.ts';

let database: TestDatabase;
let smtp: TestSmtp;
/** A database as the operator gives it to Sluice: with nothing in it. */
const emptyName = `sluice_test_empty_${randomUUID().replaceAll('-', '')}`;
const emptyUrl = urlOfDatabase(inject('postgresAdminUrl'), emptyName);
const AWS = { AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE', AWS_SECRET_ACCESS_KEY: 'never used' };

beforeAll(async () => {
  database = await createTestDatabase();
  smtp = await startSmtp();
  await withClient(inject('postgresAdminUrl'), (admin) => admin.query(`CREATE DATABASE ${emptyName}`));
});
afterAll(async () => {
  await smtp.close();
  await withClient(inject('postgresAdminUrl'), (admin) => admin.query(`DROP DATABASE ${emptyName} WITH (FORCE)`));
  await database.drop();
});

const doctor = async (settings: Settings) => {
  const { code, stdout, stderr } = await runSluice('cli', ['doctor'], settings);
  const lines = stdout.trimEnd().split('\n');
  return { code, stderr, lines, verdicts: lines.map((line) => line.split(/ +/, 2).join(' ')) };
};

describe('doctor', () => {
  test('prints one aligned line per check and exits with 0 when nothing is broken', async () => {
    const { code, stderr, lines, verdicts } = await doctor({
      DATABASE_URL: database.url,
      SMTP_URL: smtp.url,
      ...AWS,
    });
    expect(verdicts).toEqual([
      'settings ok',
      'database ok',
      'version ok',
      'migrations ok',
      'queue ok',
      'ledger ok',
      'accounts ok',
      'keys warn',
      'clock ok',
      'pool ok',
      'schedule ok',
      's3 ok',
      'mail ok',
    ]);
    expect(new Set(lines.map((line) => /^\S+ +\S+ +/.exec(line)?.[0].length))).toEqual(new Set([21]));
    expect(lines[5]).toBe('ledger      ok       all ledgers belong to this database cluster');
    expect({ code, stderr, mails: smtp.messages }).toEqual({ code: 0, stderr: '', mails: [] });
  });

  test('names every check in its help', async () => {
    const { lines } = await doctor({
      DATABASE_URL: database.url,
      DATABASE_READ_URL: database.url,
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
      ...AWS,
    });
    const { stdout: help } = await runSluice('cli', ['doctor', '--help'], {});
    const names = lines.map((line) => line.split(' ', 1)[0] ?? '');
    expect(names.filter((name) => !new RegExp(`\\b${name}\\b`, 'i').test(help))).toEqual([]);
    expect(names).toEqual(expect.arrayContaining(['version', 'schedule', 'pool', 'replica', 's3', 'traces']));
  });

  test('reports every invalid setting, runs the other checks, and warns about missing credentials and mail servers', async () => {
    const { code, lines } = await doctor({
      DATABASE_URL: database.url,
      PORT: 'http',
      RUN_LEASE_SECONDS: '1e9',
      SMTP_URL: 'smtp://u:hidden-word@127.0.0.1:9',
    });
    expect(lines).toEqual([
      expect.stringMatching(/^settings +broken +PORT must be a whole number/),
      expect.stringMatching(/^settings +broken +RUN_LEASE_SECONDS must be a whole number/),
      expect.stringMatching(/^database +ok /),
      expect.stringMatching(/^version +ok /),
      expect.stringMatching(/^migrations +ok /),
      expect.stringMatching(/^queue +ok /),
      expect.stringMatching(/^ledger +ok /),
      expect.stringMatching(/^accounts +ok /),
      expect.stringMatching(/^keys +warn +no valid API key exists/),
      expect.stringMatching(/^clock +ok /),
      expect.stringMatching(/^pool +ok /),
      expect.stringMatching(/^schedule +ok /),
      expect.stringMatching(/^s3 +warn +no credentials, so exports fail: set AWS_ACCESS_KEY_ID/),
      expect.stringMatching(/^mail +warn +The mail server could not be reached/),
    ]);
    expect(code).toBe(1);
  });

  test('reports an unreachable database as broken, skips the checks that need it, and shows no password', async () => {
    const { code, lines, verdicts } = await doctor({
      DATABASE_URL: 'postgres://u:hidden-word@127.0.0.1:9/none',
      ...AWS,
    });
    expect(lines[1]).toMatch(
      /^database +broken +The database none on 127\.0\.0\.1:9 cannot be reached \(ECONNREFUSED\)/,
    );
    expect(verdicts.filter((verdict) => verdict.endsWith('skipped'))).toHaveLength(9);
    expect(lines.join('\n')).not.toContain('hidden-word');
    expect(code).toBe(1);

    const listing = await runSluice('cli', ['account', 'list'], {
      DATABASE_URL: 'postgres://hidden-user:hidden-word@localhost/none?port=9',
    });
    expect(listing).toEqual({
      code: 1,
      stdout: '',
      stderr: 'The database none on localhost:9 cannot be reached (ECONNREFUSED). Is DATABASE_URL right?\n',
    });
  });

  test('reports a database without tables as broken until migrate has run, which can run again', async () => {
    const settings = { DATABASE_URL: emptyUrl, ...AWS };
    const [before, listing] = await Promise.all([doctor(settings), runSluice('cli', ['account', 'list'], settings)]);
    expect(before.lines.slice(3, 9)).toEqual([
      expect.stringMatching(/^migrations +broken +\d+ pending: run `npm run -s sluice -- migrate`, or start a server$/),
      'queue       skipped  needs the pending migrations',
      'ledger      skipped  needs the pending migrations',
      expect.stringMatching(/^accounts +warn +the role of DATABASE_URL is a superuser/),
      'keys        skipped  needs the pending migrations',
      expect.stringMatching(/^clock +ok /),
    ]);
    expect(before.code).toBe(1);
    expect(listing).toMatchObject({ code: 1, stdout: '' });
    expect(listing.stderr).toMatch(
      /^The database does not have Sluice's tables.* run `npm run -s sluice -- migrate`\.\n$/,
    );

    const first = await runSluice('cli', ['migrate'], settings);
    expect(first).toMatchObject({ code: 0, stdout: '', stderr: expect.stringMatching(/^Applied \d+ migrations/) });
    const again = await runSluice('cli', ['migrate'], settings);
    expect(again).toMatchObject({ code: 0, stderr: 'The database is up to date.\n' });
  });

  test('warns when the clocks differ by more than five seconds', async () => {
    const { check } = DATABASE_CHECKS.find(({ name }) => name === 'clock')!;
    const commands = openCommandDatabase(database.url);
    const off = (seconds: number) =>
      check({
        db: commands.acrossAccounts,
        clock: { now: () => new Date(Date.now() + seconds * 1000) },
        config: loadConfig({}),
      });
    expect(await off(0)).toMatchObject({ verdict: 'ok' });
    expect(await off(8)).toMatchObject({
      verdict: 'warn',
      message: expect.stringMatching(/^this machine is [6-9]\S* s ahead of/),
    });
    expect(await off(-8)).toMatchObject({
      verdict: 'warn',
      message: expect.stringMatching(/^this machine is [6-9]\S* s behind/),
    });
    await commands.close();
  });

  test('reports a PostgreSQL before version 15 as broken', async () => {
    const { check } = DATABASE_CHECKS.find(({ name }) => name === 'version')!;
    // The response of a server of another version.
    const of = (number: string, name: string) =>
      check({
        db: { execute: () => Promise.resolve({ rows: [{ number, name }] }) } as unknown as Db,
        clock: systemClock,
        config: loadConfig({}),
      });
    expect(await of('140019', '14.19 (Debian 14.19-1)')).toEqual({
      verdict: 'broken',
      message: 'PostgreSQL 14.19 (Debian 14.19-1) is too old: Sluice needs 15 or later',
    });
    expect(await of('150000', '15.0')).toEqual({ verdict: 'ok', message: 'PostgreSQL 15.0' });
  });

  test('warns about a late schedule, and about a run that no worker starts', async () => {
    const { check } = DATABASE_CHECKS.find(({ name }) => name === 'schedule')!;
    const commands = openCommandDatabase(database.url);
    const looked = { pool: commands.pool, db: commands.acrossAccounts, clock: systemClock, config: loadConfig({}) };
    const change = (statement: string) =>
      withClient(database.url, (client) => client.query(`SET sluice.all_accounts = 'on'; ${statement}`));
    try {
      expect(await check(looked)).toEqual({ verdict: 'ok', message: 'on time; runs: 0 waiting, 0 running' });
      await change(`
        INSERT INTO accounts (name) VALUES ('default') ON CONFLICT DO NOTHING;
        INSERT INTO jobs (id, account_id, name, enabled, settings, destination, next_run_at, created_at, updated_at)
        SELECT gen_random_uuid(), id, 'late', true, '{}', 'a/b', now() - interval '5 minutes', now(), now() FROM accounts LIMIT 1;
        INSERT INTO runs (id, account_id, job_id, trigger, status, scheduled_for, window_start, window_end, settings, bucket, manifest_key, created_at)
        SELECT gen_random_uuid(), account_id, id, 'MANUAL', 'QUEUED', now(), now(), now(), '{}', 'a', 'b', now() - interval '1 hour' FROM jobs`);
      expect(await check(looked)).toMatchObject({
        verdict: 'warn',
        message: expect.stringMatching(/^a slot has been due for 3\d\d s and has no run\. Is a server/),
      });
      await change('UPDATE jobs SET next_run_at = NULL');
      expect(await check(looked)).toMatchObject({
        verdict: 'warn',
        message: expect.stringMatching(
          /^the oldest of 1 waiting runs has waited for 36\d\d s\. Are enough workers running/,
        ),
      });
    } finally {
      await commands.close();
      await change('DELETE FROM runs; DELETE FROM jobs');
    }
  });

  test('warns about too few connections, and about a store or collector that is down', async () => {
    const [collector, gone] = await Promise.all([startCollector(), startCollector()]);
    await gone.close();
    try {
      const away = await doctor({
        DATABASE_URL: database.url,
        DATABASE_POOL: '1000',
        AWS_ENDPOINT_URL_S3: gone.url,
        OTEL_EXPORTER_OTLP_ENDPOINT: gone.url,
        ...AWS,
      });
      expect(away.lines.filter((line) => /^(?:pool|s3|traces) /.test(line))).toEqual([
        expect.stringMatching(
          /^pool +warn +a server with these settings opens up to 1027 connections; the database allows \d+, of which \d+ are open: lower DATABASE_POOL/,
        ),
        expect.stringMatching(
          /^s3 +warn +credentials found .*; the store 127\.0\.0\.1:\d+ \(AWS_ENDPOINT_URL_S3\) cannot be reached \(ECONNREFUSED\): exports fail/,
        ),
        expect.stringMatching(
          /^traces +warn +the collector 127\.0\.0\.1:\d+ cannot be reached \(ECONNREFUSED\): traces are lost/,
        ),
      ]);
      expect(away.code).toBe(0);
      const there = await doctor({
        DATABASE_URL: database.url,
        AWS_ENDPOINT_URL_S3: collector.url,
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/elsewhere`,
        S3_ACL: 'none',
        ...AWS,
      });
      expect(there.lines.at(-3)).toMatch(
        /^s3 +ok +credentials found .*; S3_ACL=none, S3_CHECKSUM=sha256; 127\.0\.0\.1:\d+ responds$/,
      );
      expect(there.lines.at(-1)).toMatch(
        /^traces +warn +the collector \S+ responds with 404 to a POST of JSON to \/elsewhere/,
      );
      const taken = await doctor({ DATABASE_URL: database.url, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ...AWS });
      expect(taken.lines.at(-1)).toMatch(/^traces +ok +the collector 127\.0\.0\.1:\d+ accepts traces$/);
    } finally {
      await collector.close();
    }
  });
});
