export interface ConnectionState {
  readonly isUp: boolean;
  /** How often events have begun to come. Whoever sees it grow past 1 may have missed some, and asks anew. */
  readonly times: number;
}

/** Whether events come, to be read with useSyncExternalStore. */
export interface Connection {
  readonly read: () => ConnectionState;
  readonly listen: (listener: () => void) => () => void;
  readonly tell: (isUp: boolean) => void;
}

export const createConnection = (): Connection => {
  let state: ConnectionState = { isUp: false, times: 0 };
  const listeners = new Set<() => void>();
  return {
    read: () => state,
    listen: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    tell: (isUp) => {
      state = { isUp, times: state.times + (isUp ? 1 : 0) };
      for (const listener of listeners) listener();
    },
  };
};
