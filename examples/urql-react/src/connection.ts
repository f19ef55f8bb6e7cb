export interface ConnectionState {
  readonly isUp: boolean;
  /** The number of connections so far. After each one but the first, events may have been missed: fetch again. */
  readonly times: number;
}

/** Whether events arrive. For useSyncExternalStore. */
export interface Connection {
  readonly read: () => ConnectionState;
  readonly listen: (listener: () => void) => () => void;
  readonly set: (isUp: boolean) => void;
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
    set: (isUp) => {
      state = { isUp, times: state.times + (isUp ? 1 : 0) };
      for (const listener of listeners) listener();
    },
  };
};
