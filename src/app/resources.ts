import type { Tracer } from '@opentelemetry/api';
import type { Logger } from 'pino';
import type { Queue } from '../db/queue.ts';
import type { Config } from '../config/config.ts';
import type { Database } from '../db/client.ts';
import type { ObjectStore } from '../exports/object-store.ts';
import type { Clock } from '../lib/clock.ts';
import type { Mail } from '../notify/mail.ts';

/** The resources of an app. The caller of startApp opens and closes them. */
export interface AppResources {
  readonly config: Config;
  readonly database: Database;
  readonly queue: Queue;
  readonly store: ObjectStore;
  readonly mail: Mail | null;
  readonly log: Logger;
  readonly clock: Clock;
  readonly tracer: Tracer;
  /** Accounts whose transaction ids this process has repaired. */
  readonly repairs: { readonly count: number };
  /** How long connections without a request stay open when the server stops. Defaults to 5 seconds. */
  readonly idleMs?: number;
}
