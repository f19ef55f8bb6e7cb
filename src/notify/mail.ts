import { createTransport } from 'nodemailer';
import type { MailText } from './run-message.ts';

export interface MailOptions {
  /** `smtp://user:password@host:port` or `smtps://...` */
  readonly smtpUrl: string;
  /** Sender address (MAIL_FROM). */
  readonly from: string;
  /** Time limit of one message, from connecting to the server's acceptance. Defaults to 30,000 ms. */
  readonly timeoutMs?: number | undefined;
}

export interface Mail {
  /** Resolves when the server has accepted the message for the address. Throws MailError and nothing else. */
  send(to: string, mail: MailText): Promise<void>;
  /** Connects and logs in without sending. Throws MailError. */
  check(): Promise<void>;
  /** Aborts active messages. May be called twice. */
  close(): void;
}

/** A mail that was not sent. The message contains no password. `retryable`: the mail can succeed later without a change. */
export class MailError extends Error {
  readonly code: 'MAIL_REFUSED' | 'MAIL_DEFERRED' | 'MAIL_LOGIN' | 'MAIL_TIMEOUT' | 'MAIL_CONNECTION' | 'MAIL_INVALID';
  readonly retryable: boolean;

  constructor(code: MailError['code'], message: string, retryable: boolean, options?: ErrorOptions) {
    super(message, options);
    this.name = 'MailError';
    this.code = code;
    this.retryable = retryable;
  }
}

const DEFAULT_TIMEOUT_MS = 30_000;

/**
 * Opens one connection per message: runs end minutes apart, and the server would close an idle connection in between. Does not
 * connect before the first message. Throws TypeError if the URL does not begin with smtp: or smtps:.
 */
export function openMail(options: MailOptions): Mail {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const transport = createTransport({
    ...readSmtpUrl(options.smtpUrl),
    // nodemailer's defaults are 30 s, 2 min, 30 s and 10 min. The signal of each message limits the sum of the phases.
    dnsTimeout: timeoutMs,
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    // nodemailer must not read a file or URL that an address or a text names.
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const closing = new AbortController();
  return {
    async send(to, mail) {
      if (/[\p{Cc},;<>]/u.test(to)) {
        throw new MailError('MAIL_INVALID', 'The email of the job is not a single plain address.', false);
      }
      const deadline = new AbortController();
      const timer = setTimeout(() => deadline.abort(), timeoutMs);
      const onClose = () => deadline.abort();
      closing.signal.addEventListener('abort', onClose, { once: true });
      if (closing.signal.aborted) deadline.abort();
      try {
        await transport.sendMail({
          from: options.from,
          // An object, because nodemailer parses a string as a list of addresses.
          to: { name: '', address: to },
          subject: mail.subject.replace(/\p{Cc}+/gu, ' '),
          text: mail.text,
          signal: deadline.signal,
          // RFC 3834: auto-responders do not reply.
          headers: { 'Auto-Submitted': 'auto-generated' },
        });
      } catch (error) {
        throw explainMailFailure(error, closing.signal.aborted);
      } finally {
        clearTimeout(timer);
        closing.signal.removeEventListener('abort', onClose);
      }
    },
    async check() {
      try {
        await transport.verify();
      } catch (error) {
        throw explainMailFailure(error, closing.signal.aborted);
      }
    },
    close() {
      closing.abort();
      transport.close();
    },
  };
}

/** Reads only host, port, user and password: nodemailer would accept any of its options in the query. */
function readSmtpUrl(smtpUrl: string) {
  const url = URL.canParse(smtpUrl) ? new URL(smtpUrl) : null;
  if (url === null || !/^smtps?:$/.test(url.protocol) || url.hostname === '') {
    throw new TypeError('SMTP_URL is not valid. Use smtp://user:password@host:port or smtps://...');
  }
  const secure = url.protocol === 'smtps:';
  const user = decodeURIComponent(url.username);
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (secure ? 465 : 587) : Number(url.port),
    secure,
    ...(user === '' ? {} : { auth: { user, pass: decodeURIComponent(url.password) } }),
  };
}

/** Converts an error to a MailError. Only the reply code is copied, because the server's text may repeat what was sent to it. */
function explainMailFailure(error: unknown, closed: boolean): MailError {
  const code = read(error, 'code');
  const reply = read(error, 'responseCode');
  const command = read(error, 'command');
  const cause = new Error(
    [code, reply, command].filter((part) => typeof part === 'string' || typeof part === 'number').join(', '),
  );
  const mailError = (kind: MailError['code'], message: string, retryable: boolean) =>
    new MailError(kind, message, retryable, { cause });
  if (closed) return mailError('MAIL_CONNECTION', 'The mail was not sent because the server is shutting down.', true);
  if (typeof reply === 'number' && reply >= 400) {
    if (reply < 500) return mailError('MAIL_DEFERRED', `The mail server deferred the message (reply ${reply}).`, true);
    if (code === 'EAUTH') {
      const message = `The mail server rejected the login (reply ${reply}). Correct the user or password in SMTP_URL.`;
      return mailError('MAIL_LOGIN', message, false);
    }
    return mailError('MAIL_REFUSED', `The mail server rejected the message (reply ${reply}).`, false);
  }
  switch (code) {
    case 'EAUTH':
    case 'ENOAUTH':
      return mailError('MAIL_LOGIN', 'The mail server does not accept the login. Correct SMTP_URL.', false);
    case 'EABORT':
    case 'ETIMEDOUT':
      return mailError('MAIL_TIMEOUT', 'The mail server did not accept the message within the time limit.', true);
    case 'EENVELOPE':
    case 'EMESSAGE':
    case 'ECONFIG':
      return mailError('MAIL_INVALID', 'The message is not valid. Check MAIL_FROM and the email of the job.', false);
    case 'ETLS':
      return mailError('MAIL_CONNECTION', "The mail server's TLS certificate or protocol is not accepted.", false);
    default:
      return mailError('MAIL_CONNECTION', 'The mail server could not be reached or the connection was lost.', true);
  }
}

function read(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
