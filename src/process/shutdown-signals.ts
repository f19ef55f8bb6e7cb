/** What a process is told from outside: to end. */
export interface StopSignals {
  /** Aborted by the first signal; its reason is the signal's name. */
  readonly signal: AbortSignal;
  /** Resolves at the first signal. */
  readonly told: Promise<NodeJS.Signals>;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * One Ctrl-C can arrive twice: from the terminal, which tells the whole process group, and from npm, which passes on what
 * it got. What follows within this time is the same one.
 */
const SAME_SIGNAL_MS = 1000;

/** 128 and the number of SIGINT: what shells show of a command that Ctrl-C ended. */
const INTERRUPTED = 130;

/**
 * Listens for SIGINT, SIGTERM and SIGHUP until the process ends. The first asks for an orderly stop. One that comes later
 * than a second after it ends the process at once: runs under way are taken over when their leases are over, and
 * an embedded PostgreSQL ends with the process that started it.
 */
export const listenForStop = (): StopSignals => {
  const stopping = new AbortController();
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  let toldAt: number | undefined;
  for (const name of SIGNALS) {
    process.on(name, () => {
      if (toldAt !== undefined && performance.now() - toldAt > SAME_SIGNAL_MS) process.exit(INTERRUPTED);
      toldAt ??= performance.now();
      stopping.abort(name);
      resolve(name);
    });
  }
  return { signal: stopping.signal, told: promise };
};

/** Ends the process where nobody reads its output any more, as behind `| head`: what is left to say is for nobody. */
export const endWithReader = (output: NodeJS.WriteStream): void => {
  output.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
};
