import { Counter, Histogram, type Registry } from 'prom-client';
import type { RequestApi, RequestOutcome, ActiveRequest } from '../http/request-context.ts';
import type { Receipt } from '../streams/ingest-request.ts';
import type { OperationRow } from '../streams/stream-rows.ts';

export interface RequestMetrics {
  readonly requestEnded: (request: ActiveRequest) => void;
  readonly written: (kind: OperationRow['kind'], receipt: Pick<Receipt, 'operation' | 'replayed'>) => void;
  readonly streamBusy: () => void;
}

const APIS: readonly RequestApi[] = ['graphql', 'rest'];
const OUTCOMES: readonly RequestOutcome[] = ['ok', 'refused', 'failed'];

export function addRequests(registers: Registry[]): RequestMetrics {
  const requests = new Counter({
    name: 'sluice_requests_total',
    help: 'Requests that were answered, by operation: a REST route, or the type and first field of a GraphQL operation. ok; refused, what the client has to change; failed, the server or its database.',
    labelNames: ['api', 'operation', 'outcome'],
    registers,
  });
  const seconds = new Histogram({
    name: 'sluice_request_duration_seconds',
    help: 'How long requests took, subscriptions left out, from their head to the end of their answer.',
    labelNames: ['api', 'operation'],
    buckets: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    registers,
  });
  const operations = new Counter({
    name: 'sluice_intake_operations_total',
    help: 'Writes to streams that were accepted, by kind (sum, replace, delete, revert, complete). replayed: answered from the ledger by their idempotency key.',
    labelNames: ['kind', 'replayed'],
    registers,
  });
  const inserted = new Counter({
    name: 'sluice_intake_records_total',
    help: 'Records that writes inserted, by kind.',
    labelNames: ['kind'],
    registers,
  });
  const hidden = new Counter({
    name: 'sluice_intake_hidden_records_total',
    help: 'Live records that writes hid, by kind.',
    labelNames: ['kind'],
    registers,
  });
  const busy = new Counter({
    name: 'sluice_stream_busy_total',
    help: 'Writes that were answered with STREAM_BUSY, because other writes to the stream took longer than STREAM_WAIT_MS.',
    registers,
  });
  for (const kind of ['sum', 'replace', 'delete']) {
    for (const replayed of ['false', 'true']) operations.inc({ kind, replayed }, 0);
    if (kind !== 'delete') inserted.inc({ kind }, 0);
    if (kind !== 'sum') hidden.inc({ kind }, 0);
  }
  // A series that begins at 1 has no increase for Prometheus: an operation has all its outcomes from its first request on.
  const begun = new Set<string>();
  const begin = (labels: { readonly api: RequestApi; readonly operation: string }): void => {
    const name = `${labels.api} ${labels.operation}`;
    if (begun.has(name)) return;
    begun.add(name);
    for (const outcome of OUTCOMES) requests.inc({ ...labels, outcome }, 0);
  };
  for (const api of APIS) {
    begin({ api, operation: 'other' });
    seconds.zero({ api, operation: 'other' });
  }
  return {
    streamBusy: () => busy.inc(),
    requestEnded: ({ api, operation, outcome, begunAt, isSubscription }) => {
      if (api === null) return;
      const labels = { api, operation: operation ?? 'other' };
      begin(labels);
      requests.inc({ ...labels, outcome });
      if (!isSubscription) seconds.observe(labels, (performance.now() - begunAt) / 1000);
    },
    written: (what, { operation, replayed }) => {
      const kind = what.toLowerCase();
      operations.inc({ kind, replayed: String(replayed) });
      if (replayed) return;
      if (operation.insertedRecords > 0) inserted.inc({ kind }, operation.insertedRecords);
      if (operation.hiddenRecords > 0) hidden.inc({ kind }, operation.hiddenRecords);
    },
  };
}
