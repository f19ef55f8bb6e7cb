import { createServer } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MailError, openMail } from '../../src/notify/mail.ts';
import type { Mail, MailOptions } from '../../src/notify/mail.ts';
import { composeMissedMail, composeRunMail } from '../../src/notify/run-message.ts';
import type { EndedRun } from '../../src/notify/run-message.ts';
import { startSmtp } from '../support/smtp.ts';
import type { SmtpBehavior, TestSmtp } from '../support/smtp.ts';

const run: EndedRun = {
  jobName: 'Daily usage (EU)',
  runId: '0199e6a0-0000-7000-8000-000000000001',
  status: 'SUCCEEDED',
  restatement: null,
  scheduledFor: new Date('2026-11-15T08:00:00Z'),
  windowStart: new Date('2026-11-14T05:00:00Z'),
  windowEnd: new Date('2026-11-15T05:00:00Z'),
  timeZone: 'America/New_York',
  attempt: 2,
  rowsWritten: 1_234_567,
  bytesWritten: 98_765_432,
  bucket: 'my-bucket',
  objectKeys: ['exports/daily-usage-eu/w-00001.csv', 'exports/daily-usage-eu/w-00002.csv'],
  manifestKey: 'exports/daily-usage-eu/w.manifest.json',
  warnings: [],
  error: null,
};
const warnings = ['The stream "soon" does not exist yet.', 'Two\nlines'];
const accessDenied = { code: 'ACCESS_DENIED', message: 'Attach the bucket policy.', retryable: false };

describe('mail about a run', () => {
  it.each(['SUCCEEDED', 'FAILED'] as const)('that is %s > lists its warnings, one per line', (status) => {
    const { text } = composeRunMail({ ...run, status, warnings });
    expect(text).toMatch(/\n\nWarnings:\n {2}The stream "soon" does not exist yet\.\n {2}Two lines\n$/);
  });

  it('that succeeded > contains window, rows, bytes and object keys', () => {
    expect(composeRunMail(run)).toEqual({
      subject: 'Sluice: Daily usage (EU) succeeded (2026-11-14)',
      text: [
        'The run of the export job "Daily usage (EU)" succeeded.',
        '',
        'Window:  2026-11-14T00:00:00-05:00 to 2026-11-15T00:00:00-05:00 (America/New_York)',
        'Slot:    2026-11-15T03:00:00-05:00',
        'Run:     0199e6a0-0000-7000-8000-000000000001',
        'Attempt: 2',
        'Rows:    1,234,567',
        'Bytes:   98,765,432',
        '',
        'Bucket my-bucket:',
        '  exports/daily-usage-eu/w-00001.csv',
        '  exports/daily-usage-eu/w-00002.csv',
        '',
        'Manifest:',
        '  exports/daily-usage-eu/w.manifest.json',
        '',
      ].join('\n'),
    });
  });

  it('that failed > contains the code and what to change', () => {
    const mail = composeRunMail({ ...run, status: 'FAILED', manifestKey: null, error: accessDenied });
    expect(mail.subject).toBe('Sluice: Daily usage (EU) failed (2026-11-14)');
    expect(mail.text).toContain('\nACCESS_DENIED: Attach the bucket policy.\n');
    expect(mail.text).toContain('The run was not retried');
    expect(mail.text).not.toContain('Rows:');
  });

  it('about a restatement > says why the window was delivered again, and that a failed one is tried again', () => {
    const restatement = 'CORRECTION';
    expect(composeRunMail({ ...run, restatement }).text).toContain(
      'Attempt: 2\nReason:  the ledger was corrected after the window was delivered\nRows:',
    );
    const failed = composeRunMail({ ...run, restatement, status: 'FAILED', error: accessDenied });
    expect(failed.text).toContain('Sluice tries again when a run of this job has succeeded');
  });

  it('that failed with a retryable error > says that all attempts failed', () => {
    const error = { code: 'S3_BUSY', message: 'Slow down.', retryable: true };
    expect(composeRunMail({ ...run, status: 'FAILED', attempt: 5, error }).text).toMatch(
      /Attempt: 5\n[^]*S3_BUSY: Slow down\.\n[^]*All attempts failed\./,
    );
  });

  it('that was canceled > says that the run wrote no manifest', () => {
    const mail = composeRunMail({ ...run, status: 'CANCELED', attempt: 0, manifestKey: null, error: null });
    expect(mail.subject).toBe('Sluice: Daily usage (EU) was canceled (2026-11-14)');
    expect(mail.text).toMatch(/Attempt: 0\n\nThis run wrote no manifest\./);
  });

  it.each([
    ['UTC', '2026-11-14T05:00:00Z to 2026-11-15T05:00:00Z (UTC)'],
    ['Asia/Kolkata', '2026-11-14T10:30:00+05:30 to 2026-11-15T10:30:00+05:30 (Asia/Kolkata)'],
    ['Europe/London', '2026-11-14T05:00:00+00:00 to 2026-11-15T05:00:00+00:00 (Europe/London)'],
    ['Pacific/Apia', '2026-11-14T18:00:00+13:00 to 2026-11-15T18:00:00+13:00 (Pacific/Apia)'],
  ])('writes times in the time zone of the job: %s', (timeZone, window) => {
    expect(composeRunMail({ ...run, timeZone }).text).toContain(`Window:  ${window}\n`);
  });

  it('lists 20 objects and the number of the others', () => {
    const objectKeys = Array.from({ length: 1_050 }, (_, index) => `key-${index + 1}`);
    const { text } = composeRunMail({ ...run, objectKeys });
    expect(text).toContain('  key-20\n  and 1,030 more\n');
    expect(text).not.toContain('key-21\n');
  });

  it('says that a window was empty', () => {
    expect(composeRunMail({ ...run, rowsWritten: 0 }).text).toContain('no records in this window');
  });

  it('lists all missed slots in one mail', () => {
    const slots = [15, 16].map((day) => ({
      scheduledFor: new Date(`2026-11-${day}T08:00:00Z`),
      windowStart: new Date(`2026-11-${day - 1}T05:00:00Z`),
      windowEnd: new Date(`2026-11-${day}T05:00:00Z`),
    }));
    const mail = composeMissedMail({ jobName: 'Daily', timeZone: 'UTC', limit: 100, slots });
    expect(mail.subject).toBe('Sluice: Daily missed 2 slots');
    expect(mail.text).toContain('recorded as CANCELED with the code MISSED');
    expect(mail.text).toContain('  2026-11-15T08:00:00Z, window 2026-11-14T05:00:00Z to 2026-11-15T05:00:00Z (UTC)\n');
  });

  it('removes line breaks from names and messages', () => {
    const evil = 'a\r\nBcc: victim@example.com\r\n\r\nBody\u2028x';
    const mail = composeRunMail({
      ...run,
      jobName: evil,
      status: 'FAILED',
      error: { code: 'X\nY', message: evil, retryable: false },
    });
    expect(mail.subject).not.toMatch(/[\r\n\u2028]/);
    expect(mail.text).not.toMatch(/^Bcc:|^Body/m);
    expect(composeMissedMail({ jobName: evil, timeZone: 'UTC', limit: 1, slots: [] }).subject).not.toMatch(/[\r\n]/);
  });
});

describe('mail', () => {
  let smtp: TestSmtp;
  const opened: Mail[] = [];
  beforeEach(async () => {
    smtp = await startSmtp();
  });
  afterEach(async () => {
    for (const mail of opened.splice(0)) mail.close();
    await smtp.close();
  });

  function open(options: Partial<MailOptions> = {}): Mail {
    const mail = openMail({ smtpUrl: smtp.url, from: 'Sluice <sluice@example.com>', ...options });
    opened.push(mail);
    return mail;
  }

  async function failureOf(sending: Promise<void>): Promise<MailError> {
    const error: unknown = await sending.then(
      () => new Error('The mail was sent'),
      (reason: unknown) => reason,
    );
    if (!(error instanceof MailError)) throw error;
    return error;
  }

  it('sends subject and text to the address', async () => {
    const { subject, text } = composeRunMail({ ...run, objectKeys: ['exports/Ünïcode 😀/w.csv'] });
    await open().send('finops@example.com', { subject, text });
    expect(smtp.messages).toHaveLength(1);
    expect(smtp.messages[0]).toMatchObject({ from: 'sluice@example.com', to: ['finops@example.com'], subject });
    expect(smtp.messages[0]?.text.trimEnd()).toBe(text.trimEnd());
    expect(smtp.messages[0]?.headers.get('auto-submitted')).toEqual(['auto-generated']);
  });

  it('sends several messages, sequentially and concurrently', async () => {
    const mail = open();
    await mail.send('a@example.com', { subject: 'one', text: 'x' });
    await Promise.all(['b', 'c', 'd'].map((name) => mail.send(`${name}@example.com`, { subject: name, text: 'x' })));
    expect(smtp.messages.map((message) => message.subject).toSorted()).toEqual(['b', 'c', 'd', 'one']);
  });

  it('removes line breaks from the subject', async () => {
    await open().send('a@example.com', { subject: 'x\r\nBcc: victim@example.com\r\n\r\nBody', text: 'x' });
    expect(smtp.messages[0]?.to).toEqual(['a@example.com']);
    expect(smtp.messages[0]?.headers.get('bcc')).toBeUndefined();
    expect(smtp.messages[0]?.headers.get('subject')).toHaveLength(1);
  });

  it.each(['a@example.com, b@example.com', 'a@example.com\r\nBcc: b@example.com', 'A <a@example.com>', 'a@x;b@y'])(
    'rejects %j, which is not a single plain address',
    async (address) => {
      const error = await failureOf(open().send(address, { subject: 'x', text: 'x' }));
      expect(error).toMatchObject({ code: 'MAIL_INVALID', retryable: false });
      expect(smtp.messages).toEqual([]);
    },
  );

  const refusals: [behavior: SmtpBehavior, code: string, retryable: boolean][] = [
    [{ refuse: 'rcpt', code: 450 }, 'MAIL_DEFERRED', true],
    [{ refuse: 'rcpt', code: 550 }, 'MAIL_REFUSED', false],
    [{ refuse: 'data', code: 451 }, 'MAIL_DEFERRED', true],
    [{ refuse: 'data', code: 554 }, 'MAIL_REFUSED', false],
  ];
  it.each(refusals)('with the reply %j > throws %s, retryable %j', async (behavior, code, retryable) => {
    smtp.setBehavior(behavior);
    const error = await failureOf(open().send('a@example.com', { subject: 'x', text: 'x' }));
    expect({ code: error.code, retryable: error.retryable }).toEqual({ code, retryable });
    expect(`${error.message} ${String(error.cause)}`).not.toContain('LEAK');
  });

  it.each(['hang-connect', 'hang-data'] as const)('%s > ends at the time limit', async (behavior) => {
    smtp.setBehavior(behavior);
    const started = performance.now();
    const error = await failureOf(open({ timeoutMs: 300 }).send('a@example.com', { subject: 'x', text: 'x' }));
    expect(error).toMatchObject({ code: 'MAIL_TIMEOUT', retryable: true });
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it('throws a retryable error if the mail server is down', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    const error = await failureOf(
      open({ smtpUrl: `smtp://127.0.0.1:${port}` }).send('a@example.com', { subject: 'x', text: 'x' }),
    );
    expect(error).toMatchObject({ code: 'MAIL_CONNECTION', retryable: true });
  });

  it('logs in with the user of the URL, and reports a wrong password', async () => {
    const login = { user: 'sluice@example.com', password: 'p@ss/w:rd%' };
    const strict = await startSmtp({ login });
    await open({ smtpUrl: strict.url }).send('a@example.com', { subject: 'in', text: 'x' });
    expect(strict.messages[0]?.subject).toBe('in');
    const wrong = new URL(strict.url);
    wrong.password = 'other-secret';
    const error = await failureOf(open({ smtpUrl: wrong.href }).send('a@example.com', { subject: 'x', text: 'x' }));
    expect(error).toMatchObject({ code: 'MAIL_LOGIN', retryable: false });
    expect(`${error.message} ${String(error.cause)}`).not.toMatch(/LEAK|other-secret/);
    await strict.close();
  });

  it.each(['', 'mail.example.com', 'http://mail.example.com', 'smtp://'])('%j > is rejected as SMTP_URL', (smtpUrl) => {
    expect(() => openMail({ smtpUrl, from: 'a@example.com' })).toThrow(TypeError);
  });

  it('aborts active messages on close, which may be called twice', async () => {
    smtp.setBehavior('hang-data');
    const mail = open();
    const sending = failureOf(mail.send('a@example.com', { subject: 'x', text: 'x' }));
    mail.close();
    mail.close();
    expect(await sending).toMatchObject({ code: 'MAIL_CONNECTION', retryable: true });
    expect(await failureOf(mail.send('a@example.com', { subject: 'x', text: 'x' }))).toMatchObject({ retryable: true });
  });
});
