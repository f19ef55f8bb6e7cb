import { createHash } from 'node:crypto';
import pg from 'pg';

// A statement that has a name is parsed and planned once by each connection, and not each time.

/** The same for the same text, and short enough for Postgres (63 bytes). */
export const statementName = (text: string): string => createHash('sha1').update(text).digest('base64');

/** Names every statement that has values: for who asks the same few again and again, and cannot be told to name them. */
export class NamingClient extends pg.Client {}

const send = Reflect.get(pg.Client.prototype, 'query') as (...sent: unknown[]) => unknown;
NamingClient.prototype.query = function name(this: pg.Client, ...sent: unknown[]): unknown {
  const [text, values, ...rest] = sent;
  const isNamed = typeof text === 'string' && Array.isArray(values) && values.length > 0;
  return Reflect.apply(send, this, isNamed ? [{ name: statementName(text), text, values }, ...rest] : sent);
} as pg.Client['query'];
