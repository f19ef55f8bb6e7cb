import { useSyncExternalStore } from 'react';

export interface ConnectionState {
  /** Whether the last event stream is open. */
  readonly isUp: boolean;
  /** Number of times that a lost event stream was opened again. Events may have been missed before each: fetch again. */
  readonly resumed: number;
}

const listeners = new Set<() => void>();
let state: ConnectionState = { isUp: true, resumed: 0 };

/** Called by the client when an event stream is lost or opened again. */
export function setConnected(isUp: boolean): void {
  if (isUp === state.isUp) return;
  state = { isUp, resumed: state.resumed + (isUp ? 1 : 0) };
  for (const listener of listeners) listener();
}

function listen(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Returns whether events arrive. */
export function useConnection(): ConnectionState {
  return useSyncExternalStore(listen, () => state);
}
