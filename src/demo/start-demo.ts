import { createGraphQLClient } from '../api-client/graphql-client.ts';
import { type Config, loadConfig } from '../config/config.ts';
import { systemClock } from '../lib/clock.ts';
import { listPages } from '../local/greeting.ts';
import { formatStartupError } from '../process/format-startup-error.ts';
import { createLogger } from '../process/open-resources.ts';
import { endWithReader, listenForStopSignals, type StopSignals } from '../process/shutdown-signals.ts';
import { type Server, StartCancelled, startServer } from '../process/start-server.ts';
import { createTerminal } from '../terminal/terminal.ts';
import { runDemo } from './run-demo.ts';
import { createScreen, type Screen } from './screen.ts';

const EXIT = '--exit';

/** Settings of the demo: always local mode, only warnings in the log, and frequent progress so that bars move. */
function demoSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { LOG_LEVEL: 'warn', RUN_HEARTBEAT_MS: '50', ...env, DATABASE_URL: undefined, ROLE: undefined };
}

/** Starts a server, runs the demo, and keeps the server running until a signal stops it; with `--exit` only until the demo ends. */
export async function startDemo(): Promise<void> {
  try {
    await start();
  } catch (error) {
    console.error(`\n${formatStartupError(error) ?? (error instanceof Error ? error.message : String(error))}`);
    process.exit(1);
  }
}

async function start(): Promise<void> {
  const unknown = process.argv.slice(2).find((argument) => argument !== EXIT);
  if (unknown !== undefined) {
    console.error(`Unknown option ${unknown}. ${EXIT} stops the server when the demo ends.`);
    process.exit(2);
  }
  const startedAt = performance.now();
  endWithReader(process.stdout);
  const stopSignals = listenForStopSignals();
  const config = loadConfig(demoSettings(process.env));
  const terminal = createTerminal(process.stdout, process.stderr);
  const screen = createScreen(terminal);
  void stopSignals.received.then(() => {
    // An empty line ends a bar that is being drawn, or the ^C of the terminal.
    screen.line();
    screen.line('Stopping the server, the S3 and PostgreSQL ...');
  });
  screen.heading('Sluice: usage records in, scheduled exports to S3 out');
  if (process.env['DATABASE_URL']) screen.dim('DATABASE_URL is ignored: the demo uses the embedded database.');
  screen.line('Starting PostgreSQL, an S3 and the server on this machine ...');
  let server: Server;
  try {
    server = await startServer({ config, log: createLogger(config), signal: stopSignals.signal });
  } catch (error) {
    if (error instanceof StartCancelled) return;
    throw error;
  }
  try {
    await runOn(server, { startedAt, config, screen, stopSignals, isInteractive: terminal.isInteractive });
  } catch (error) {
    if (!stopSignals.signal.aborted) throw error;
  } finally {
    await server.stop();
  }
}

interface DemoOptions {
  readonly startedAt: number;
  readonly config: Config;
  readonly screen: Screen;
  readonly stopSignals: StopSignals;
  readonly isInteractive: boolean;
}

async function runOn({ local, localKey, url }: Server, options: DemoOptions): Promise<void> {
  const { startedAt, config, screen, stopSignals, isInteractive } = options;
  if (!local) throw new Error('The demo needs local mode.');
  if (localKey === null) throw new Error('The API key of local mode was revoked. Set API_KEY to another key of yours.');
  screen.line(`Server: ${url}, data directory: ${local.dataDirectory}`);
  const client = createGraphQLClient({ url, key: localKey, signal: stopSignals.signal });
  await runDemo({ client, screen, clock: systemClock, filesDirectory: local.filesDirectory });

  screen.heading(`Completed in ${((performance.now() - startedAt) / 1000).toFixed(0)} s. Next steps`);
  screen.line(`Shell     KEY=${local.keyFile === null ? '$API_KEY' : `$(cat '${local.keyFile}')`}`);
  for (const line of curlLines(url)) screen.line(`          ${line}`);
  // The console is the last one: it is the page to open first.
  for (const line of listPages({ ...config, url, apiKey: localKey, terminal: isInteractive }).toReversed()) {
    screen.line();
    screen.line(line);
  }
  if (process.argv.includes(EXIT)) return;
  screen.line();
  screen.line('The server is running. Stop it with Ctrl-C; `npm start` starts it again with the same data.');
  screen.line();
  const cause = await Promise.race([stopSignals.received, local.failed]);
  if (cause instanceof Error) throw cause;
}

function curlLines(url: string): string[] {
  return [
    `curl -s ${url}/graphql -H "X-API-Key: $KEY" -H 'Content-Type: application/json' \\`,
    `  -d '{"query": "{ runs { edges { node { jobName status rowsWritten } } } }"}'`,
  ];
}
