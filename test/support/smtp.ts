import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';
import type { SMTPServerDataStream } from 'smtp-server';

export interface ReceivedMail {
  /** Sender of the envelope. */
  readonly from: string;
  readonly to: readonly string[];
  /** Headers by lower-case name, unfolded and decoded. A repeated header has all values, in order. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly subject: string;
  readonly text: string;
  readonly raw: string;
}

/** 'hang-*': the server does not respond in this phase. `refuse`: it responds with this reply code, 4xx or 5xx. */
export type SmtpBehavior =
  | 'accept'
  | 'hang-connect'
  | 'hang-data'
  | { readonly refuse: 'rcpt' | 'data'; readonly code: number };

export interface SmtpOptions {
  /** Credentials that clients must use. Defaults to none. */
  readonly login?: { readonly user: string; readonly password: string };
  /** Port of a closed server that is started again. Defaults to a free port. */
  readonly port?: number;
}

export interface TestSmtp {
  /** `smtp://...`, with the login if there is one. */
  readonly url: string;
  readonly messages: readonly ReceivedMail[];
  setBehavior(behavior: SmtpBehavior): void;
  close(): Promise<void>;
}

/** Starts a mail server in this process that keeps all received mails. */
export async function startSmtp(options: SmtpOptions = {}): Promise<TestSmtp> {
  const messages: ReceivedMail[] = [];
  let behavior: SmtpBehavior = 'accept';
  const refusal = (phase: 'rcpt' | 'data') =>
    typeof behavior === 'object' && behavior.refuse === phase
      ? Object.assign(new Error('LEAK of the mail server'), { responseCode: behavior.code })
      : null;

  const server = new SMTPServer({
    authOptional: options.login === undefined,
    disabledCommands: options.login === undefined ? ['STARTTLS', 'AUTH'] : ['STARTTLS'],
    allowInsecureAuth: true,
    disableReverseLookup: true,
    closeTimeout: 50,
    onConnect(_session, callback) {
      if (behavior !== 'hang-connect') callback();
    },
    onAuth(auth, _session, callback) {
      const { login } = options;
      if (auth.username === login?.user && auth.password === login?.password) return callback(null, { user: 'test' });
      return callback(Object.assign(new Error('LEAK'), { responseCode: 535 }));
    },
    onRcptTo(_address, _session, callback) {
      callback(refusal('rcpt'));
    },
    onData(stream, session, callback) {
      const { mailFrom, rcptTo } = session.envelope;
      readText(stream).then(
        (raw) => {
          if (behavior === 'hang-data') return;
          const refused = refusal('data');
          if (refused !== null) return callback(refused);
          const from = mailFrom === false ? '' : mailFrom.address;
          const to = rcptTo.map((recipient) => recipient.address);
          messages.push({ from, to, raw, ...parseMessage(raw) });
          callback(null);
        },
        (error: Error) => callback(error),
      );
    },
  });
  server.on('error', () => {}); // Clients may disconnect at any time.
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server.server, 'listening');
  const { port } = server.server.address() as AddressInfo;
  const login =
    options.login === undefined
      ? ''
      : `${encodeURIComponent(options.login.user)}:${encodeURIComponent(options.login.password)}@`;
  return {
    url: `smtp://${login}127.0.0.1:${port}`,
    messages,
    setBehavior(next) {
      behavior = next;
    },
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

async function readText(stream: SMTPServerDataStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** Parses a message with one text part (RFC 5322). */
function parseMessage(raw: string): Pick<ReceivedMail, 'headers' | 'subject' | 'text'> {
  const end = raw.indexOf('\r\n\r\n');
  const headers = new Map<string, string[]>();
  for (const line of raw
    .slice(0, end)
    .replace(/\r\n[ \t]+/g, ' ')
    .split('\r\n')) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), decodeWords(line.slice(colon + 1).trim())]);
  }
  const body = raw.slice(end + 4).replace(/\r\n/g, '\n');
  const encoding = headers.get('content-transfer-encoding')?.[0] ?? '7bit';
  return { headers, subject: headers.get('subject')?.[0] ?? '', text: decodeBody(body, encoding) };
}

function decodeBody(body: string, encoding: string): string {
  if (encoding === 'base64') return Buffer.from(body, 'base64').toString('utf8');
  if (encoding === 'quoted-printable') return decodeQuoted(body.replace(/=\n/g, ''));
  return body;
}

function decodeQuoted(text: string): string {
  const binary = text.replace(/=([0-9A-F]{2})/gi, (_all, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(binary, 'latin1').toString('utf8');
}

/** Decodes =?UTF-8?Q?...?= and =?UTF-8?B?...?= (RFC 2047). */
function decodeWords(text: string): string {
  return text
    .replace(/\?=\s+=\?/g, '?==?')
    .replace(/=\?utf-8\?([QB])\?([^?]*)\?=/gi, (_all, kind: string, word: string) =>
      kind.toUpperCase() === 'B'
        ? Buffer.from(word, 'base64').toString('utf8')
        : decodeQuoted(word.replaceAll('_', ' ')),
    );
}
