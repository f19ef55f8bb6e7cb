import { onTestFinished, TestRunner } from 'vitest';
import type { FaultHook, StrictS3 } from './strict-s3.ts';

export interface Faults {
  /** Sets the fault for puts whose key has the prefix, until it is cleared. Concurrent tests use one folder each. */
  on(prefix: string, hook: FaultHook): void;
  clear(prefix: string): void;
}

/** Manages the faults of one store by folder. */
export function createFaults(s3: StrictS3): Faults {
  const hooks = new Map<string, FaultHook>();
  s3.setFault((request) => {
    for (const [prefix, hook] of hooks) if (request.key.startsWith(prefix)) return hook(request);
    return undefined;
  });
  return {
    on: (prefix, hook) => void hooks.set(prefix, hook),
    clear: (prefix) => void hooks.delete(prefix),
  };
}

/**
 * Creates a promise that the test resolves. It is resolved when the test ends, so that a test that failed does not hold up the next.
 * Concurrent tests must resolve it themselves.
 */
export function createGate(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  // Steps of a hook are outside of a test. Vitest does not know which of several concurrent tests has called.
  const test = TestRunner.getCurrentTest();
  if (test && !test.concurrent) onTestFinished(() => resolve());
  return { opened: promise, open: () => resolve() };
}
