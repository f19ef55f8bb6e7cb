/**
 * A process with COUNT subscribers, each with a connection and a subscription to the runs of the account over server-sent
 * events. Usage: fork with URL, COUNT and the key as arguments. Notifies its parent process when the last subscriber has
 * received the first event, and then each change of `rowsWritten`.
 */
import { request } from 'node:http';

const [url = '', wanted = '', key = ''] = process.argv.slice(2);
const count = Number(wanted);

const body = JSON.stringify({
  query:
    'subscription { runUpdated { id jobName status attempt rowsWritten bytesWritten startedAt finishedAt error { code message } } }',
});
/** Number of subscribers that have received each change. */
const had = new Map<string, number>();

function open(): void {
  const sending = request(`${url}/graphql`, {
    method: 'POST',
    agent: false,
    headers: {
      'x-api-key': key,
      'content-type': 'application/json',
      accept: 'text/event-stream',
      'content-length': Buffer.byteLength(body),
    },
  });
  sending.on('response', (response) => {
    if (response.statusCode !== 200) throw new Error(`A subscriber was answered ${response.statusCode}.`);
    let rest = '';
    response.setEncoding('latin1');
    response.on('data', (chunk: string) => {
      const events = (rest + chunk).split('\n\n');
      rest = events.pop() ?? '';
      for (const event of events) {
        const change = /"rowsWritten":(\d+)/.exec(event)?.[1];
        if (change === undefined) {
          if (event.includes('"errors"')) throw new Error(event);
          continue;
        }
        const now = (had.get(change) ?? 0) + 1;
        had.set(change, now);
        if (now === count) process.send?.({ change: Number(change), at: String(process.hrtime.bigint()) });
        if (now === count || change !== '0') continue;
        // A few at a time, because opening many concurrently is not part of the measurement.
        next();
      }
    });
    response.on('end', () => process.exit(0));
    response.on('error', () => process.exit(0));
  });
  sending.end(body);
}

let opened = 0;

function next(): void {
  if (opened >= count) return;
  opened += 1;
  open();
}

for (let first = 0; first < Math.min(count, 16); first += 1) next();
process.on('disconnect', () => process.exit(0));
