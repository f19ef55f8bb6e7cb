import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Db } from '../../src/db/client.ts';
import { createCoalescer } from '../../src/streams/group-commit/coalescer.ts';
import { NoTimeLeftError } from '../../src/streams/stream-queue.ts';
import type { OperationRow, StreamRow } from '../../src/streams/stream-rows.ts';

interface Item {
  readonly name: string;
  readonly ticket: { leftMs(): number };
}

/** Neither is looked at. */
const db = {} as Db;
const stream = { id: 1n } as StreamRow;

/** A transaction in flight, which the test ends. */
interface Transaction {
  readonly names: readonly string[];
  readonly end: PromiseWithResolvers<(OperationRow | null)[]>;
}

const open = (countNext: (items: readonly Item[]) => number = ({ length }) => length) => {
  const transactions: Transaction[] = [];
  const gather = createCoalescer<Item>({
    write: (_db, _stream, items) => {
      const end = Promise.withResolvers<(OperationRow | null)[]>();
      transactions.push({ names: items.map(({ name }) => name), end });
      return end.promise;
    },
    countNext,
  });
  const add = (name: string, leftMs: () => number = () => 1000): Promise<OperationRow | null> => {
    const operation = gather(db, stream, { name, ticket: { leftMs } });
    operation.catch(() => undefined);
    return operation;
  };
  return { add, transactions, named: () => transactions.map(({ names }) => names) };
};

const operation = (id: bigint): OperationRow => ({ id }) as OperationRow;
const failure = (code: string): Error => Object.assign(new Error('failed'), { code });

describe('coalescer', () => {
  test('writes the items that wait for a transaction together in the next one', async () => {
    const { add, transactions, named } = open();
    const operations = [add('a'), add('b'), add('c')];
    expect(named()).toEqual([['a']]);
    transactions[0]?.end.resolve([operation(1n)]);
    await setImmediate();
    expect(named()).toEqual([['a'], ['b', 'c']]);
    transactions[1]?.end.resolve([null, operation(3n)]);
    expect(await Promise.all(operations)).toEqual([operation(1n), null, operation(3n)]);
    const last = add('d');
    expect(named().at(-1)).toEqual(['d']);
    transactions[2]?.end.resolve([operation(4n)]);
    expect(await last).toEqual(operation(4n));
  });

  test('takes items in order, up to the number that may share a transaction', async () => {
    const { add, transactions, named } = open(() => 2);
    for (const name of 'abcd') void add(name);
    for (const index of [0, 1]) {
      transactions[index]?.end.resolve([operation(1n), operation(2n)]);
      await setImmediate();
    }
    expect(named()).toEqual([['a'], ['b', 'c'], ['d']]);
  });

  test('retries in halves when a statement timed out', async () => {
    const { add, transactions, named } = open();
    const first = add('a');
    const light = add('light');
    const heavy = add('heavy');
    const timeout = failure('57014');
    transactions[0]?.end.reject(timeout);
    await expect(first).rejects.toBe(timeout);
    await setImmediate();
    transactions[1]?.end.reject(timeout);
    await setImmediate();
    transactions[2]?.end.resolve([operation(1n)]);
    expect(await light).toEqual(operation(1n));
    await setImmediate();
    transactions[3]?.end.reject(timeout);
    await expect(heavy).rejects.toBe(timeout);
    expect(named()).toEqual([['a'], ['light', 'heavy'], ['light'], ['heavy']]);
  });

  test('retries items that have time left after a lock timeout', async () => {
    const { add, transactions, named } = open();
    void add('a');
    let leftMs = 1;
    const late = add('late', () => leftMs);
    const early = add('early');
    transactions[0]?.end.resolve([operation(1n)]);
    await setImmediate();
    void add('next');
    leftMs = 0;
    transactions[1]?.end.reject(failure('55P03'));
    await expect(late).rejects.toThrow(NoTimeLeftError);
    await setImmediate();
    expect(named()).toEqual([['a'], ['late', 'early'], ['early', 'next']]);
    transactions[2]?.end.resolve([operation(2n), operation(3n)]);
    expect(await early).toEqual(operation(2n));
  });

  test('rejects items whose time is over when the transaction in flight ends', async () => {
    const { add, transactions, named } = open(() => 1);
    void add('a');
    let leftMs = 1;
    const late = add('late', () => leftMs);
    const early = add('early');
    leftMs = 0;
    transactions[0]?.end.resolve([operation(1n)]);
    await expect(late).rejects.toThrow(NoTimeLeftError);
    expect(named()).toEqual([['a'], ['early']]);
    transactions[1]?.end.resolve([operation(2n)]);
    expect(await early).toEqual(operation(2n));
  });

  test('rejects all items of a transaction without a retry when the connection broke', async () => {
    const { add, transactions, named } = open();
    void add('a');
    const others = [add('b'), add('c')];
    transactions[0]?.end.resolve([operation(1n)]);
    await setImmediate();
    const broken = failure('08006');
    transactions[1]?.end.reject(broken);
    for (const one of others) await expect(one).rejects.toBe(broken);
    expect(named()).toEqual([['a'], ['b', 'c']]);
  });
});
