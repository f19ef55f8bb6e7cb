import type { ObjectStore } from './object-store.ts';

export type OnPut = (outcome: 'ok' | 'failed', seconds: number) => void;

/** Decorates a store: calls `onPut` when a put has ended. */
export function withMetrics(store: ObjectStore, onPut: OnPut): ObjectStore {
  return {
    put: async (object) => {
      const startedAt = performance.now();
      const report = (outcome: 'ok' | 'failed'): void => onPut(outcome, (performance.now() - startedAt) / 1000);
      try {
        await store.put(object);
        report('ok');
      } catch (error) {
        report('failed');
        throw error;
      }
    },
    close: () => store.close(),
  };
}
