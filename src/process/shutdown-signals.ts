/** The signals that ask a process to end. */
export interface StopSignals {
  /** Aborted by the first signal; its reason is the signal's name. */
  readonly signal: AbortSignal;
  /** Resolves at the first signal. */
  readonly received: Promise<NodeJS.Signals>;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * One Ctrl-C can arrive twice: from the terminal, which signals the whole process group, and from npm, which forwards its
 * signal. A signal within this time of the first counts as the same.
 */
const SAME_SIGNAL_MS = 1000;

/** 128 plus the number of SIGINT, the exit code of a command that Ctrl-C ended. */
const INTERRUPTED = 130;

/**
 * Listens for SIGINT, SIGTERM and SIGHUP until the process ends. The first asks for an orderly stop. Another one more than a
 * second later ends the process immediately: other workers take over its runs when their leases expire, and an embedded
 * PostgreSQL ends with the process that started it.
 */
export function listenForStopSignals(): StopSignals {
  const stopping = new AbortController();
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  let firstAt: number | undefined;
  for (const name of SIGNALS) {
    process.on(name, () => {
      if (firstAt !== undefined && performance.now() - firstAt > SAME_SIGNAL_MS) process.exit(INTERRUPTED);
      firstAt ??= performance.now();
      stopping.abort(name);
      resolve(name);
    });
  }
  return { signal: stopping.signal, received: promise };
}

/** Ends the process when its output is no longer read, as with `| head`. */
export function endWithReader(output: NodeJS.WriteStream): void {
  output.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
}
