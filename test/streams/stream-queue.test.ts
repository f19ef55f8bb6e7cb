import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import { StreamBusyError } from '../../src/errors/errors.ts';
import {
  createStreamQueue,
  NoTimeLeftError,
  type StreamAccess,
  type StreamQueue,
} from '../../src/streams/stream-queue.ts';

let queue: StreamQueue;
let busy = 0;
const open = (waitMs: number): StreamQueue => {
  busy = 0;
  return createStreamQueue({ waitMs, onBusy: () => (busy += 1) });
};
beforeEach(() => {
  queue = open(60_000);
});

/** A request that writes until the test ends it, and records its name when its turn comes. */
const request = (
  log: string[],
  name: string,
  access: StreamAccess,
  { stream = 'usage', account = 1n, signal }: { stream?: string; account?: bigint; signal?: AbortSignal } = {},
) => {
  const ending = Promise.withResolvers<void>();
  const ended = signal && (() => [signal]);
  const done = queue.enter({ accountId: account, stream, access, ended }, async (place) => {
    await place.turn;
    log.push(name);
    await ending.promise;
  });
  done.catch(() => undefined);
  return {
    end: async (): Promise<void> => {
      ending.resolve();
      await done;
    },
    done,
  };
};

describe('stream queue', () => {
  test('runs sums concurrently and exclusive writes alone, in order of arrival', async () => {
    const log: string[] = [];
    const requests = (['sum 1', 'sum 2', 'replace 3', 'sum 4', 'sum 5', 'delete 6', 'sum 7'] as const).map((name) =>
      request(log, name, name.startsWith('sum') ? 'shared' : 'exclusive'),
    );
    const seen: string[][] = [];
    for (const one of requests) {
      await setImmediate();
      seen.push([...log]);
      await one.end();
    }
    expect(seen.map((names) => names.length)).toEqual([2, 2, 3, 5, 5, 6, 7]);
    expect(log).toEqual(['sum 1', 'sum 2', 'replace 3', 'sum 4', 'sum 5', 'delete 6', 'sum 7']);
    expect([queue.streams, queue.waiting]).toEqual([0, 0]);
  });

  test('runs grouped writes concurrently, but not with sums or exclusive writes, in order of arrival', async () => {
    const log: string[] = [];
    const names = [
      'grouped 1',
      'grouped 2',
      'shared 3',
      'grouped 4',
      'grouped 5',
      'exclusive 6',
      'grouped 7',
      'shared 8',
    ] as const;
    const requests = names.map((name) => request(log, name, name.split(' ')[0] as StreamAccess));
    const seen: number[] = [];
    for (const one of requests) {
      await setImmediate();
      seen.push(log.length);
      await one.end();
    }
    expect(seen).toEqual([2, 2, 3, 5, 5, 6, 7, 8]);
    expect(log).toEqual(names);
    expect([queue.streams, queue.waiting]).toEqual([0, 0]);
  });

  test('limits the wait of a request that waited before to its remaining time', async () => {
    const log: string[] = [];
    const first = request(log, 'grouped', 'grouped');
    const late = queue.enter({ accountId: 1n, stream: 'usage', access: 'exclusive', leftMs: 20 }, ({ turn }) => turn);
    await expect(late).rejects.toThrow(StreamBusyError);
    const left = await queue.enter({ accountId: 1n, stream: 'usage', access: 'grouped', leftMs: 20 }, (place) =>
      Promise.resolve(place.leftMs()),
    );
    expect(left).toBeLessThanOrEqual(20);
    await first.end();
    expect([busy, queue.streams]).toEqual([1, 0]);
  });

  test('throws StreamBusyError for a request that found no time left', async () => {
    const late = queue.enter({ accountId: 1n, stream: 'usage', access: 'grouped' }, () =>
      Promise.reject(new NoTimeLeftError()),
    );
    await expect(late).rejects.toThrow(StreamBusyError);
    expect([busy, queue.streams]).toEqual([1, 0]);
  });

  test('is separate for each account and stream name', async () => {
    const log: string[] = [];
    const requests = [
      request(log, 'first', 'exclusive'),
      request(log, 'other stream', 'exclusive', { stream: 'other' }),
      request(log, 'other account', 'exclusive', { account: 2n }),
      request(log, 'second', 'exclusive'),
    ];
    await setImmediate();
    expect(log).toEqual(['first', 'other stream', 'other account']);
    expect([queue.streams, queue.waiting]).toEqual([3, 1]);
    for (const one of requests) await one.end();
    expect(queue.streams).toBe(0);
  });

  test('throws StreamBusyError after the maximum wait, and continues with the next request', async () => {
    queue = open(50);
    const log: string[] = [];
    const first = request(log, 'sum', 'shared');
    const late = request(log, 'replace', 'exclusive');
    await expect(late.done).rejects.toThrow(StreamBusyError);
    const behind = request(log, 'another sum', 'shared');
    await behind.end();
    await first.end();
    expect(log).toEqual(['sum', 'another sum']);
    expect([busy, queue.streams, queue.waiting]).toEqual([1, 0, 0]);
  });

  test('removes a request when its signal aborts, and continues with the next request', async () => {
    const log: string[] = [];
    const gone = new AbortController();
    const first = request(log, 'sum', 'shared');
    const abandoned = request(log, 'replace', 'exclusive', { signal: gone.signal });
    const behind = request(log, 'sum behind it', 'shared');
    await setImmediate();
    expect(log).toEqual(['sum']);
    gone.abort(new Error('gone'));
    await expect(abandoned.done).rejects.toThrow('gone');
    await behind.end();
    const tooLate = request(log, 'delete', 'exclusive', { signal: gone.signal });
    await expect(tooLate.done).rejects.toThrow('gone');
    await first.end();
    expect(log).toEqual(['sum', 'sum behind it']);
    expect([busy, queue.streams, queue.waiting]).toEqual([0, 0, 0]);
  });

  test('removes a request that fails before its turn', async () => {
    const log: string[] = [];
    const first = request(log, 'replace', 'exclusive');
    const failing = queue.enter({ accountId: 1n, stream: 'usage', access: 'exclusive' }, () =>
      Promise.reject(new Error('not valid')),
    );
    await expect(failing).rejects.toThrow('not valid');
    expect(queue.waiting).toBe(0);
    const behind = request(log, 'sum', 'shared');
    await first.end();
    await behind.end();
    expect(log).toEqual(['replace', 'sum']);
    expect(queue.streams).toBe(0);
  });
});
