import type { ObjectStore } from './object-store.ts';

export type OnPut = (outcome: 'ok' | 'failed', seconds: number) => void;

/** The same store; each put is told when it has ended. */
export const withMetrics = (store: ObjectStore, onPut: OnPut): ObjectStore => ({
  put: async (object) => {
    const begun = performance.now();
    const tell = (outcome: 'ok' | 'failed'): void => onPut(outcome, (performance.now() - begun) / 1000);
    try {
      await store.put(object);
      tell('ok');
    } catch (error) {
      tell('failed');
      throw error;
    }
  },
  close: () => store.close(),
});
