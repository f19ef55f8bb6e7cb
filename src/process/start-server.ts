import type { Logger } from 'pino';
import { describeMissingKey } from '../accounts/first-key.ts';
import { findPrincipal } from '../accounts/keys.ts';
import { startApp } from '../app/app.ts';
import type { Config } from '../config/config.ts';
import { type LocalMode, startLocal } from './local-mode.ts';
import { openResources } from './open-resources.ts';

/** All of Sluice in this process. */
export interface Server {
  /** Where it answers, e.g. http://127.0.0.1:4000. */
  readonly url: string;
  /** The embedded parts; null in server mode. */
  readonly local: LocalMode | null;
  /** A valid ADMIN key, known in local mode alone. Null there too where it was revoked. */
  readonly localKey: string | null;
  /** In order: no new requests, running exports end or are handed over, connections, embedded parts. May be called twice. */
  stop(): Promise<void>;
}

export interface ServerOptions {
  readonly config: Config;
  readonly log: Logger;
  /** Aborted where the process is told to end while it starts: what was started by then is stopped. */
  readonly signal: AbortSignal;
}

/** The start was called off by its signal; everything is stopped. */
export class StartCalledOff extends Error {}

/**
 * Starts everything that the settings ask for and resolves when it answers.
 * Errors: StartCalledOff, or why it cannot start; nothing is left running then.
 */
export const startServer = async ({ config, log, signal }: ServerOptions): Promise<Server> => {
  const stops: (() => Promise<void>)[] = [];
  const stopAll = async (): Promise<void> => {
    for (const stopOne of stops.toReversed()) await stopOne();
  };
  const stepDone = (): void => {
    if (signal.aborted) throw new StartCalledOff();
  };
  try {
    stepDone();
    const local = config.databaseUrl === null ? await startLocal(config, log) : null;
    if (local) stops.push(() => local.stop());
    stepDone();
    const resources = await openResources({
      config: local ? { ...config, apiKey: local.apiKey } : config,
      databaseUrl: local?.databaseUrl ?? config.databaseUrl ?? '',
      log,
      ...(local && { store: local.store }),
    });
    stops.push(() => resources.close());
    await local?.announce();
    // An owner who revoked a key does not want it back, and should not be shown what no longer works.
    const apiKey = local?.apiKey ?? config.apiKey;
    const valid = apiKey !== null && (await findPrincipal(resources.database.acrossAccounts, apiKey)) !== null;
    if (config.apiKey !== null && !valid) log.warn('the key in API_KEY was revoked and opens nothing: set another');
    if (!local && config.apiKey === null && config.role !== 'worker') {
      const words = await describeMissingKey(resources.database.acrossAccounts);
      if (words !== null) log.warn(words);
    }
    const localKey = local && valid ? local.apiKey : null;
    stepDone();
    // Whoever works on his own machine and presses Ctrl-C has no other server that his next request could go to.
    const app = await startApp({ ...resources, ...(local && { idleMs: 0 }) });
    stops.push(() => app.stop());
    stepDone();
    let stopped: Promise<void> | undefined;
    return { url: app.url, local, localKey, stop: () => (stopped ??= stopAll()) };
  } catch (error) {
    await stopAll();
    // Ctrl-C reaches the programs too that a start waits for, such as initdb: that they failed then is no failure.
    throw signal.aborted ? new StartCalledOff() : error;
  }
};
