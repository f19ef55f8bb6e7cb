// Pure: the limit of the memory that all exports of a worker use together: a semaphore of bytes.

export interface MemoryBudget {
  /**
   * Waits until `bytes` are free, in order of the calls, and returns a function that releases them. A request for more than the
   * whole budget gets all of it. Rejects when `signal` is aborted.
   */
  acquire(bytes: number, signal: AbortSignal): Promise<() => void>;
}

export function createMemoryBudget(total: number): MemoryBudget {
  let free = total;
  const waiting: { readonly bytes: number; readonly grant: () => void }[] = [];

  const serve = (): void => {
    for (let first = waiting[0]; first && first.bytes <= free; first = waiting[0]) {
      waiting.shift();
      free -= first.bytes;
      first.grant();
    }
  };

  return {
    acquire(wanted, signal) {
      const bytes = Math.min(wanted, total);
      return new Promise((resolve, reject) => {
        const giveUp = (): void => {
          const index = waiting.indexOf(entry);
          if (index >= 0) waiting.splice(index, 1);
          reject(signal.reason instanceof Error ? signal.reason : new Error('Stopped while waiting for memory.'));
          serve();
        };
        const entry = {
          bytes,
          grant: (): void => {
            signal.removeEventListener('abort', giveUp);
            let released = false;
            resolve(() => {
              if (released) return;
              released = true;
              free += bytes;
              serve();
            });
          },
        };
        if (signal.aborted) {
          giveUp();
          return;
        }
        signal.addEventListener('abort', giveUp, { once: true });
        waiting.push(entry);
        serve();
      });
    },
  };
}
