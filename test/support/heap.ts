import { once } from 'node:events';
import WebSocket from 'ws';

/** Megabytes that a process uses after a garbage collection. */
export interface Memory {
  readonly heap: number;
  /** Buffers outside the heap. */
  readonly external: number;
}

interface HeapUsage {
  readonly usedSize: number;
  readonly backingStorageSize: number;
}

const MB = 1024 * 1024;

/** Connects over the debugger protocol, so that the measured process needs only `node --inspect=127.0.0.1:0`. */
export async function connectToHeap(debuggerUrl: string) {
  const socket = new WebSocket(debuggerUrl);
  await once(socket, 'open');
  let asked = 0;
  const ask = <Result>(method: string): Promise<Result> =>
    new Promise((resolve) => {
      asked += 1;
      const id = asked;
      const hear = (data: Buffer): void => {
        const answer = JSON.parse(data.toString('utf8')) as { id?: number; result: Result };
        if (answer.id !== id) return;
        socket.off('message', hear);
        resolve(answer.result);
      };
      socket.on('message', hear);
      socket.send(JSON.stringify({ id, method }));
    });
  return {
    measure: async (): Promise<Memory> => {
      // Twice, since the second one frees what finalizers of the first released.
      await ask('HeapProfiler.collectGarbage');
      await ask('HeapProfiler.collectGarbage');
      const { usedSize, backingStorageSize } = await ask<HeapUsage>('Runtime.getHeapUsage');
      return { heap: usedSize / MB, external: backingStorageSize / MB };
    },
    close: () => socket.terminate(),
  };
}
