import type { Logger } from 'pino';
import { describeMissingKey } from '../accounts/first-key.ts';
import { findPrincipal } from '../accounts/keys.ts';
import { startApp } from '../app/app.ts';
import type { Config } from '../config/config.ts';
import { type LocalMode, startLocal } from './local-mode.ts';
import { openResources } from './open-resources.ts';

/** A running server. */
export interface Server {
  /** Base URL, for example http://127.0.0.1:4000. */
  readonly url: string;
  /** The embedded parts; null in server mode. */
  readonly local: LocalMode | null;
  /** A valid ADMIN key of local mode; null in server mode, or if the key was revoked. */
  readonly localKey: string | null;
  /** Stops in order: new requests, running exports (which end or are handed over), connections, embedded parts. May be called twice. */
  stop(): Promise<void>;
}

export interface ServerOptions {
  readonly config: Config;
  readonly log: Logger;
  /** Aborted if the process receives a signal while it starts. Then all parts that have started are stopped. */
  readonly signal: AbortSignal;
}

/** The start was cancelled by its signal, and everything is stopped. */
export class StartCancelled extends Error {}

/**
 * Starts everything that the settings ask for and resolves when it accepts requests.
 * Throws StartCancelled or the error that prevented the start, and leaves nothing running then.
 */
export async function startServer({ config, log, signal }: ServerOptions): Promise<Server> {
  const stops: (() => Promise<void>)[] = [];
  const stopAll = async (): Promise<void> => {
    for (const stopOne of stops.toReversed()) await stopOne();
  };
  const stepDone = (): void => {
    if (signal.aborted) throw new StartCancelled();
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
    // A revoked key stays revoked and is not shown.
    const apiKey = local?.apiKey ?? config.apiKey;
    const valid = apiKey !== null && (await findPrincipal(resources.database.acrossAccounts, apiKey)) !== null;
    if (config.apiKey !== null && !valid) log.warn('the key in API_KEY was revoked; set another one');
    if (!local && config.apiKey === null && config.role !== 'worker') {
      const words = await describeMissingKey(resources.database.acrossAccounts);
      if (words !== null) log.warn(words);
    }
    const localKey = local && valid ? local.apiKey : null;
    stepDone();
    // In local mode there is no other server for new requests, so idle connections need not stay open during a stop.
    const app = await startApp({ ...resources, ...(local && { idleMs: 0 }) });
    stops.push(() => app.stop());
    stepDone();
    let stopped: Promise<void> | undefined;
    return { url: app.url, local, localKey, stop: () => (stopped ??= stopAll()) };
  } catch (error) {
    await stopAll();
    // Ctrl-C also reaches the programs that a start waits for, such as initdb. Their failure is not reported then.
    throw signal.aborted ? new StartCancelled() : error;
  }
}
