import type { EventEmitter } from 'node:events';
import { ClientGoneError } from '../errors/errors.ts';
import type { RequestSignals } from '../lib/lifecycle.ts';
import type { TimeLimit } from './time-limit.ts';

/** One signal for all requests of a connection, so that each connection gets one listener. */
const signals = new WeakMap<EventEmitter, AbortSignal>();

function closedSignal(connection: EventEmitter, isClosed: boolean): AbortSignal {
  let signal = signals.get(connection);
  if (!signal) {
    const controller = new AbortController();
    ({ signal } = controller);
    signals.set(connection, signal);
    const abort = (): void => controller.abort(new ClientGoneError());
    if (isClosed) abort();
    else connection.once('close', abort);
  }
  return signal;
}

/** Returns the signals of a request: of its time limit and its connection. They are created when the request has to wait. */
export function endedSignals(
  limit: Pick<TimeLimit, 'signal'>,
  connection: EventEmitter,
  isClosed: () => boolean,
): RequestSignals {
  return () => [limit.signal(), closedSignal(connection, isClosed())];
}
