import { useSyncExternalStore } from 'react';

export interface ConnectionState {
  /** Whether no event stream is lost. */
  readonly isUp: boolean;
  /** Number of times that an event stream was opened again. Events may have been missed before each: fetch again. */
  readonly resumed: number;
}

/** Lost: it is being opened again. Paused: it is opened again when the page is visible. */
type Interruption = 'LOST' | 'PAUSED';

const listeners = new Set<() => void>();
const interrupted = new Map<object, Interruption>();
let state: ConnectionState = { isUp: true, resumed: 0 };

function update(resumed: number): void {
  const isUp = ![...interrupted.values()].includes('LOST');
  if (isUp === state.isUp && resumed === state.resumed) return;
  state = { isUp, resumed };
  for (const listener of listeners) listener();
}

/** Called when an event stream is interrupted. */
export function setInterrupted(stream: object, interruption: Interruption): void {
  interrupted.set(stream, interruption);
  update(state.resumed);
}

/** Called when an event stream was opened. */
export function setOpen(stream: object): void {
  const wasInterrupted = interrupted.delete(stream);
  update(state.resumed + (wasInterrupted ? 1 : 0));
}

/** Called when nobody needs an event stream any longer. */
export function forget(stream: object): void {
  interrupted.delete(stream);
  update(state.resumed);
}

function listen(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Returns whether events arrive. */
export function useConnection(): ConnectionState {
  return useSyncExternalStore(listen, () => state);
}
