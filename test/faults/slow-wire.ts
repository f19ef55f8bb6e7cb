import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** A statement on its way to PostgreSQL. */
export interface WireStatement {
  readonly sql: string;
  /** The bytes of its parameters as text; empty if it has none. */
  readonly parameters: string;
  /** Statements of the same connection have the same object. */
  readonly connection: object;
}

/**
 * Treatment of a statement. A promise: it is forwarded when the promise settles, and the later ones of its connection after it.
 * 'cut': the connection is reset before it is forwarded. 'cut-after': it is forwarded, and the connection reset before the response.
 */
type WireFault = Promise<unknown> | 'cut' | 'cut-after' | undefined;

type WireHook = (statement: WireStatement) => WireFault;

/** The connections between servers and PostgreSQL. */
export interface SlowWire {
  /** Returns the address of the database for servers whose statements pass. */
  urlFor(url: string): string;
  setHook(hook: WireHook | undefined): void;
  close(): Promise<void>;
}

/** How long a connection that was cut after a statement stays open for PostgreSQL to execute it. */
const EXECUTION_MS = 200;

/**
 * A message without a response. After it PostgreSQL no longer waits for the next statement of a transaction with the time limit of
 * idle_in_transaction_session_timeout, which Sluice sets to 20 s, so a statement can be held for longer on a slow machine.
 */
const FLUSH = Buffer.from([0x48, 0, 0, 0, 4]);

/** @param url of PostgreSQL */
export async function startSlowWire(url: string): Promise<SlowWire> {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  let hook: WireHook | undefined;

  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(one);
      one.setNoDelay(true);
      one.on('error', () => undefined);
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
    upstream.pipe(client);
    void forward(client, upstream, (statement) => hook?.(statement));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: own } = server.address() as AddressInfo;
  return {
    urlFor: (address) => {
      const through = new URL(address);
      through.host = `127.0.0.1:${own}`;
      return through.href;
    },
    setHook: (next) => {
      hook = next;
    },
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function forward(client: Socket, upstream: Socket, hook: WireHook): Promise<void> {
  const connection = {};
  const prepared = new Map<string, string>();
  let isStarted = false;
  let pending: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of client as AsyncIterable<Buffer>) {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      // Messages up to `ready` are forwarded together with the next one that is not delayed.
      let ready = 0;
      for (;;) {
        // The first message of a connection has no type.
        const header = isStarted ? 1 : 0;
        if (pending.length < ready + header + 4) break;
        const end = ready + header + pending.readInt32BE(ready + header);
        if (pending.length < end) break;
        const type = isStarted ? String.fromCharCode(pending[ready] ?? 0) : '';
        isStarted = true;
        const bytes = pending.subarray(ready + 5, end);
        if (type === 'P') {
          const [name, sql] = readTexts(bytes);
          prepared.set(name, sql);
        } else if (type === 'Q' || type === 'B') {
          const [first, name] = readTexts(bytes);
          const fault = hook({
            sql: type === 'Q' ? first : (prepared.get(name) ?? ''),
            get parameters() {
              return type === 'Q' ? '' : bytes.toString('latin1');
            },
            connection,
          });
          if (fault !== undefined) {
            upstream.write(pending.subarray(0, fault === 'cut-after' ? end : ready));
            if (fault === 'cut' || fault === 'cut-after') {
              if (fault === 'cut-after') await delay(EXECUTION_MS);
              client.resetAndDestroy();
              upstream.destroy();
              return;
            }
            upstream.write(FLUSH);
            await fault;
            pending = pending.subarray(ready);
            ready = end - ready;
            continue;
          }
        }
        ready = end;
      }
      if (ready > 0) upstream.write(pending.subarray(0, ready));
      pending = pending.subarray(ready);
    }
  } catch {
    // The connection was reset.
  }
  upstream.destroy();
}

/** The first two texts of a message, each of which ends with a zero. */
function readTexts(bytes: Buffer): [string, string] {
  const first = bytes.indexOf(0);
  const second = bytes.indexOf(0, first + 1);
  return [bytes.toString('utf8', 0, first), second < 0 ? '' : bytes.toString('utf8', first + 1, second)];
}
