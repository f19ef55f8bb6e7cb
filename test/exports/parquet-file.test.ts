import { describe, expect, onTestFinished, test } from 'vitest';
import { ParquetEncoder } from '../../src/exports/parquet-encoder.ts';
import type { ParquetFormat } from '../../src/exports/parquet-schema.ts';
import { ParquetFile } from '../../src/exports/parquet-file.ts';
import { ValueTooLargeError } from '../../src/exports/parquet-values.ts';
import { countThreads, SHOWS_THREADS } from '../support/thread-names.ts';

const FORMAT: ParquetFormat = {
  groups: [{ name: 'element', isElement: true }],
  compression: 'ZSTD',
  metadata: [],
  createdBy: 'Sluice version 1.2.3',
};

const linesOf = (from: number, to: number, value = '1.5'): Buffer =>
  Buffer.from(
    Array.from(
      { length: to - from },
      (_, index) => `usage\x012026-01-25T00:00:00Z\x012026-01-26T00:00:00Z\x01customer ${from + index}\x01${value}\n`,
    ).join(''),
  );

const openFile = (maxBytes = 64 * 1024 * 1024): ParquetFile => {
  const file = new ParquetFile(FORMAT, maxBytes);
  onTestFinished(() => file.close());
  return file;
};

const encode = (lines: Buffer): Buffer => {
  const encoder = new ParquetEncoder(FORMAT);
  encoder.add(Buffer.from(lines));
  return Buffer.concat([...encoder.takePieces(), ...encoder.finish().pieces]);
};

describe('ParquetFile', () => {
  test('returns the bytes of the encoder for any sizes of its input, one file after another', async () => {
    const file = openFile(1024);
    const lines = linesOf(0, 25_000);
    const ends = [...lines.entries()]
      .filter(([index, byte]) => byte === 0x0a && index % 7 === 0)
      .map(([index]) => index + 1);
    let from = 0;
    for (const end of [...ends, lines.length]) {
      await file.append(lines.subarray(from, end));
      from = end;
    }
    expect([file.rows, file.size]).toEqual([25_000, lines.length]);
    const first = await file.finish();
    expect(first).toMatchObject({ rows: 25_000, roundedRows: 0 });
    expect(first.body.equals(encode(lines))).toBe(true);
    expect([file.rows, file.size, file.bytes]).toEqual([0, 0, 0]);
    await file.append(linesOf(0, 3, '0.0000000000000000001'));
    const second = await file.finish();
    expect(second).toMatchObject({ rows: 3, roundedRows: 3 });
    expect(second.body.equals(encode(linesOf(0, 3, '0.0000000000000000001')))).toBe(true);
  });

  test('throws ValueTooLargeError with the value', async () => {
    const file = openFile();
    await file.append(linesOf(0, 1, '123456789012345678901'));
    const finished = file.finish();
    await expect(finished).rejects.toThrow(ValueTooLargeError);
    await expect(finished).rejects.toThrow('123456789012345678901');
  });

  test('throws the error of a thread that failed, at each call', async () => {
    const file = openFile();
    await file.append(Buffer.from('not a row\n'));
    await expect(file.finish()).rejects.toThrow(RangeError);
    await expect(file.finish()).rejects.toThrow(RangeError);
  });

  test.skipIf(!SHOWS_THREADS)('encodes in a thread, which close() ends while it encodes', async () => {
    const file = openFile();
    await file.append(linesOf(0, 1));
    await expect.poll(() => countThreads('parquet')).toBe(1);
    await file.append(linesOf(0, 100_000));
    const finished = file.finish();
    await file.close();
    await expect(finished).rejects.toThrow('ended early');
    await expect.poll(() => countThreads('parquet')).toBe(0);
  });
});
