import pg from 'pg';
import { SessionClient } from './session-client.ts';
import { BEGIN_WRITING } from './session-settings.ts';
import { nameStatement } from './statement-names.ts';

/**
 * Client for the connections of pg-boss, whose statements cannot be changed otherwise. It names every statement that has values: to
 * take a message and to complete it, planning took longer (0.3 ms) than execution. And it sets the isolation level of its
 * transactions; all other settings are those of the session (connection-options.ts).
 */
export class QueueClient extends SessionClient {}

const send = Reflect.get(pg.Client.prototype, 'query') as (...sent: unknown[]) => unknown;
QueueClient.prototype.query = function query(this: pg.Client, ...sent: unknown[]): unknown {
  const [text, values, ...rest] = sent;
  if (text === 'BEGIN') return Reflect.apply(send, this, [BEGIN_WRITING, values, ...rest]);
  const isNamed = typeof text === 'string' && Array.isArray(values) && values.length > 0;
  return Reflect.apply(send, this, isNamed ? [{ name: nameStatement(text), text, values }, ...rest] : sent);
} as pg.Client['query'];
