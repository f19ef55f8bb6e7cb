import { createRowReaders, type RowReader } from '../../src/db/row-readers.ts';

/** Opens a reader with a pool of its own, which ends when the reader is closed. */
export async function openRowReader(url: string, accountId: bigint, signal: AbortSignal): Promise<RowReader> {
  const readers = createRowReaders({ url, max: 1 });
  try {
    const reader = await readers.open(accountId, signal);
    return {
      get db() {
        return reader.db;
      },
      releaseLocks: reader.releaseLocks,
      lines: reader.lines,
      close: () => {
        reader.close();
        void readers.stop();
      },
    };
  } catch (error) {
    void readers.stop();
    throw error;
  }
}
