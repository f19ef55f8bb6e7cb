import { readKeyFragment } from './key-in-fragment.ts';

/** GraphiQL's page uses the same names. */
const STORED = 'sluice.key';
/** In localStorage: the time of the last sign-out. In sessionStorage: that time when the key was stored. */
const SIGNED_OUT = 'sluice.signedOut';
/** Other tabs answer within milliseconds, unless they are busy. */
const ANSWER_MS = 250;

/** Messages between the tabs of the origin. GraphiQL's page sends and understands them too. */
type Message = { type: 'ask' } | { type: 'key'; key: string } | { type: 'signOut' };

export interface SessionState {
  /** Null while nobody is signed in. */
  readonly key: string | null;
  /** Why the last session ended; null if the user ended it or there was none. */
  readonly reason: string | null;
}

export interface Session {
  /** For useSyncExternalStore. */
  readonly read: () => SessionState;
  readonly listen: (listener: () => void) => () => void;
  readonly signIn: (key: string) => void;
  /** Clears the key in all tabs of the origin. */
  readonly signOut: () => void;
  /** Clears the key in this tab, because the server rejects it. Ignored if the tab has another key by now. */
  readonly endSession: (key: string, reason: string) => void;
}

/** Reads the key of the fragment or of sessionStorage, else asks the other tabs for theirs. */
export async function openSession(): Promise<Session> {
  let state: SessionState = { key: null, reason: null };
  const listeners = new Set<() => void>();
  /** Whether the key of another tab signs this one in, also after the sign-in form is shown. */
  let isAsking = false;
  const set = (key: string | null, reason: string | null = null): void => {
    isAsking = false;
    state = { key, reason };
    store(key);
    for (const listener of listeners) listener();
  };

  const channel = new BroadcastChannel(STORED);
  const send = (message: Message): void => channel.postMessage(message);
  channel.addEventListener('message', ({ data }: MessageEvent<Message>) => {
    if (data.type === 'ask' && state.key !== null) send({ type: 'key', key: state.key });
    else if (data.type === 'key' && isAsking) set(data.key);
    else if (data.type === 'signOut') {
      isAsking = false;
      if (state.key !== null) set(null);
    }
  });
  // The browser kept the page in memory, where it received no messages, and restores it.
  window.addEventListener('pageshow', ({ persisted }) => {
    if (persisted && state.key !== null && wasSignedOut()) set(null);
  });
  // A link with a key was opened in a tab that already shows the console.
  window.addEventListener('hashchange', () => {
    const given = takeKeyFromAddress();
    if (given !== null) set(given);
  });

  const key = takeKeyFromAddress() ?? readStored();
  if (key !== null) set(key);
  else {
    await new Promise<void>((resolve) => {
      listeners.add(resolve);
      setTimeout(resolve, ANSWER_MS);
      isAsking = true;
      send({ type: 'ask' });
    });
    listeners.clear();
  }
  return {
    read: () => state,
    listen: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    signIn: (given) => set(given),
    signOut: () => {
      storeSignOut();
      send({ type: 'signOut' });
      set(null);
    },
    endSession: (given, reason) => {
      if (state.key === given) set(null, reason);
    },
  };
}

/** Removes the key from the address and returns it. */
function takeKeyFromAddress(): string | null {
  const key = readKeyFragment(location.hash);
  if (key !== null) history.replaceState(history.state, '', location.pathname + location.search);
  return key;
}

/** Returns the key of the tab. Removes it if the user signed out while the tab showed another page, which received no message. */
function readStored(): string | null {
  if (wasSignedOut()) store(null);
  try {
    return sessionStorage.getItem(STORED);
  } catch {
    // Storage is blocked: the key is kept until the page is closed.
    return null;
  }
}

/** Whether a tab signed out after this one stored its key. */
function wasSignedOut(): boolean {
  try {
    const last = localStorage.getItem(SIGNED_OUT);
    return last !== null && last !== sessionStorage.getItem(SIGNED_OUT);
  } catch {
    // Storage is blocked, see above.
    return false;
  }
}

function storeSignOut(): void {
  try {
    localStorage.setItem(SIGNED_OUT, new Date().toISOString());
  } catch {
    // Storage is blocked, see above.
  }
}

function store(key: string | null): void {
  try {
    sessionStorage.removeItem(STORED);
    sessionStorage.removeItem(SIGNED_OUT);
    if (key === null) return;
    const last = localStorage.getItem(SIGNED_OUT);
    if (last !== null) sessionStorage.setItem(SIGNED_OUT, last);
    sessionStorage.setItem(STORED, key);
  } catch {
    // Storage is blocked, see above.
  }
}
