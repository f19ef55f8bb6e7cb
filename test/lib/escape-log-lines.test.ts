import { Writable } from 'node:stream';
import fc from 'fast-check';
import pino from 'pino';
import pretty from 'pino-pretty';
import { expect, test } from 'vitest';
import { escapeForTerminal, escapeLogLine } from '../../src/lib/escape-log-lines.ts';

// oxlint-disable-next-line no-control-regex -- the pattern matches control characters
const COMMANDS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

const CLEAR_SCREEN = '\u001b[2J';
const texts = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({
    unit: fc.constantFrom('\\', '\\u001b', '"', '\u001b', '\u009b', '\u007f', '\r', '\b', '\u202e', 'u', '0', 'a'),
  }),
  fc.constantFrom(CLEAR_SCREEN, '\\u001b[2J', '\\\\u001b', '\\\u001b', '\u009b31m', '\r\nfaked', '\u0007'),
);

const logged = (write: (line: string) => string, asPretty: boolean, text: string): string => {
  let written = '';
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      written += chunk.toString();
      done();
    },
  });
  const to = asPretty ? pretty({ destination: sink, sync: true, colorize: false }) : sink;
  pino({ base: null, hooks: { streamWrite: write } }, to).info(
    { name: text, nested: { [`k${text}`]: [text] } },
    `m${text}`,
  );
  return written;
};

test('JSON log line > escapes every control character and parses to the same value', () => {
  fc.assert(
    fc.property(texts, (text) => {
      const line = logged(escapeLogLine, false, text);
      expect(line.trimEnd()).not.toMatch(COMMANDS);
      expect(line.trimEnd()).not.toContain('\n');
      expect(JSON.parse(line)).toMatchObject({ name: text.toWellFormed(), msg: `m${text}`.toWellFormed() });
    }),
  );
});

test('pretty log line > contains no control character', () => {
  fc.assert(
    fc.property(texts, (text) => {
      expect(logged(escapeForTerminal, true, text)).not.toMatch(COMMANDS);
    }),
  );
  expect(logged(escapeForTerminal, true, CLEAR_SCREEN)).toContain(String.raw`m\u001b[2J`);
  // Without the filter the line contains the control character.
  expect(logged((line) => line, true, '\u009b2J')).toContain('\u009b2J');
});
