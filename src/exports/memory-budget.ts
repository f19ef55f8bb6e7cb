// Pure: how much memory the exports of a worker may hold together.

export interface MemoryBudget {
  /** Waits until so many bytes are free; what asks first is served first. More than there is gets all of it. */
  acquire(bytes: number, signal: AbortSignal): Promise<() => void>;
}

export const createMemoryBudget = (total: number): MemoryBudget => {
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
};
