import type { Queue } from '../db/queue.ts';
import type { IntakeRate } from '../accounts/intake-rate.ts';
import type { Database } from '../db/client.ts';
import type { DestinationTests } from '../exports/test-destination.ts';
import type { FindRegionProblem } from '../jobs/settings-schema.ts';
import type { Clock } from '../lib/clock.ts';
import type { GroupCommit } from '../streams/group-commit/group-commit.ts';
import type { KeyHasher } from '../streams/key-hashes/key-hasher.ts';
import type { StreamCache } from '../streams/stream-cache.ts';
import type { StreamQueue } from '../streams/stream-queue.ts';
import type { OnWritten } from '../streams/ingest-request.ts';

/** Dependencies of the resolvers and the REST routes; the same for every request of a server. Each API extends it. */
export interface ApiServices {
  readonly database: Pick<Database, 'forAccount'>;
  readonly queue: Queue;
  readonly clock: Clock;
  readonly findRegionProblem: FindRegionProblem;
  readonly intakeRate: IntakeRate;
  readonly streamCache: StreamCache;
  readonly groupCommit: GroupCommit;
  readonly streamQueue: StreamQueue;
  readonly keyHasher: Pick<KeyHasher, 'enqueue'>;
  readonly onWritten: OnWritten;
  readonly onStreamDeleted: (accountId: bigint) => void;
  readonly limits: {
    readonly maxFutureMs: number;
    readonly maxFilledRows: number;
    readonly maxPage: number;
    readonly maxBackfillWindows: number;
  };
  readonly destinationTests: DestinationTests;
  /** Whether the operator configured a mail server. */
  readonly canMail: boolean;
}
