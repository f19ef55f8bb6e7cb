import { Writable } from 'node:stream';
import pino, { type Logger } from 'pino';
import { requestLogFields } from '../../src/http/request-context.ts';
import { scrubError } from '../../src/lib/scrub-error.ts';

export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly errorId?: string;
  readonly [name: string]: unknown;
  readonly err?: { readonly type: string; readonly message: string; readonly code?: string; readonly cause?: unknown };
}

/** Creates a logger that keeps all lines, at the level trace, with the serializers of the real one. */
export function createLogLines(): {
  readonly log: Logger;
  readonly text: () => string;
  readonly lines: () => LogLine[];
} {
  let written = '';
  const stream = new Writable({
    write(chunk: Buffer, _encoding, callback) {
      written += chunk.toString();
      callback();
    },
  });
  return {
    log: pino({ level: 'trace', base: null, serializers: { err: scrubError }, mixin: requestLogFields }, stream),
    text: () => written,
    lines: () =>
      written
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as LogLine),
  };
}
