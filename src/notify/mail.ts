import { createTransport } from 'nodemailer';
import type { MailText } from './run-message.ts';

export interface MailOptions {
  /** `smtp://user:password@host:port` or `smtps://...` */
  readonly smtpUrl: string;
  /** The address that mails come from. */
  readonly from: string;
  /** One message, from the connection to the server's receipt. 30,000 ms where absent. */
  readonly timeoutMs?: number | undefined;
}

export interface Mail {
  /**
   * Ends when the server has taken the message for the address. Errors: MailError, nothing else.
   */
  send(to: string, mail: MailText): Promise<void>;
  /** Connects and logs in, and sends nothing. Errors: MailError. */
  check(): Promise<void>;
  /** Ends what is under way. May be called twice. */
  close(): void;
}

/** A mail that did not leave. The message holds no password; `retryable`: it may leave later without a change. */
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
 * A connection for each message: runs end minutes apart, and a kept one would be closed by the server in between.
 * Nothing is connected before the first message. Errors: TypeError for a URL that is no smtp: or smtps: one.
 */
export function openMail(options: MailOptions): Mail {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const transport = createTransport({
    ...readSmtpUrl(options.smtpUrl),
    // The defaults are 30 s, 2 min, 30 s and 10 min; the signal of each message holds the sum of the phases.
    dnsTimeout: timeoutMs,
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    // An address or a text never names a file or a URL to read.
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const closing = new AbortController();
  return {
    async send(to, mail) {
      if (/[\p{Cc},;<>]/u.test(to)) {
        throw new MailError('MAIL_INVALID', 'The address to write to is not one plain address.', false);
      }
      const deadline = new AbortController();
      const timer = setTimeout(() => deadline.abort(), timeoutMs);
      const onClose = () => deadline.abort();
      closing.signal.addEventListener('abort', onClose, { once: true });
      if (closing.signal.aborted) deadline.abort();
      try {
        await transport.sendMail({
          from: options.from,
          // As an object: nodemailer would parse a string as a list of addresses.
          to: { name: '', address: to },
          subject: mail.subject.replace(/\p{Cc}+/gu, ' '),
          text: mail.text,
          signal: deadline.signal,
          // RFC 3834: keeps auto-responders from answering.
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

/** Only host, port, user and password are read: nodemailer would take any option of its own from the query. */
function readSmtpUrl(smtpUrl: string) {
  const url = URL.canParse(smtpUrl) ? new URL(smtpUrl) : null;
  if (url === null || !/^smtps?:$/.test(url.protocol) || url.hostname === '') {
    throw new TypeError('SMTP_URL is not of the form smtp://user:password@host:port or smtps://...');
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

/** The server's own text stays out of the message: it may repeat what was sent to it. The reply code tells enough. */
function explainMailFailure(error: unknown, closed: boolean): MailError {
  const code = read(error, 'code');
  const reply = read(error, 'responseCode');
  const command = read(error, 'command');
  const cause = new Error(
    [code, reply, command].filter((part) => typeof part === 'string' || typeof part === 'number').join(', '),
  );
  const say = (kind: MailError['code'], message: string, retryable: boolean) =>
    new MailError(kind, message, retryable, { cause });
  if (closed) return say('MAIL_CONNECTION', 'Mail is closed: the server is shutting down.', true);
  if (typeof reply === 'number' && reply >= 400) {
    if (reply < 500) return say('MAIL_DEFERRED', `The mail server put the message off (${reply}).`, true);
    if (code === 'EAUTH') return say('MAIL_LOGIN', `The mail server refused the login (${reply}).`, false);
    return say('MAIL_REFUSED', `The mail server refused the message (${reply}).`, false);
  }
  switch (code) {
    case 'EAUTH':
    case 'ENOAUTH':
      return say('MAIL_LOGIN', 'The mail server does not let us log in. Correct SMTP_URL.', false);
    case 'EABORT':
    case 'ETIMEDOUT':
      return say('MAIL_TIMEOUT', 'The mail server did not take the message within the time limit.', true);
    case 'EENVELOPE':
    case 'EMESSAGE':
    case 'ECONFIG':
      return say('MAIL_INVALID', 'The message could not be made: look at MAIL_FROM and the address.', false);
    case 'ETLS':
      return say('MAIL_CONNECTION', "The mail server's TLS certificate or protocol is not accepted.", false);
    default:
      return say('MAIL_CONNECTION', 'The mail server could not be reached or the connection was lost.', true);
  }
}

function read(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
