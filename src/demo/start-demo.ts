import { loadConfig } from '../config/config.ts';
import { createGraphQLClient } from '../api-client/graphql-client.ts';
import { createScreen } from './screen.ts';
import { tellStory } from './run-demo.ts';
import { failureWords } from '../process/format-startup-error.ts';
import { systemClock } from '../lib/clock.ts';
import { graphiqlAddress } from '../local/greeting.ts';
import { createLogger } from '../process/open-resources.ts';
import { type Server, StartCalledOff, startServer } from '../process/start-server.ts';
import { endWithReader, listenForStop } from '../process/shutdown-signals.ts';

const EXIT = '--exit';

/** The embedded parts whatever is set, few words in the log, and progress often enough for a bar to move. */
const demoSettings = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv => ({
  LOG_LEVEL: 'warn',
  RUN_HEARTBEAT_MS: '50',
  ...env,
  DATABASE_URL: undefined,
  ROLE: undefined,
});

const run = async (): Promise<void> => {
  const unknown = process.argv.slice(2).find((argument) => argument !== EXIT);
  if (unknown !== undefined) {
    console.error(`The demo knows no ${unknown}; ${EXIT} ends it when it is through.`);
    process.exit(2);
  }
  const begun = performance.now();
  endWithReader(process.stdout);
  const stopSignals = listenForStop();
  const config = loadConfig(demoSettings(process.env));
  const screen = createScreen(process.stdout);
  void stopSignals.told.then(() => {
    // Below a bar that has not come to its end, and the ^C of the terminal.
    screen.line();
    screen.line('Stopping: the server ends its work, then the S3 and PostgreSQL ...');
  });
  screen.heading('Sluice: allocation streams in, scheduled exports out');
  if (process.env['DATABASE_URL']) screen.aside('DATABASE_URL is left aside: the demo uses the embedded database.');
  screen.line('Starting PostgreSQL, an S3 and the server on this machine ...');

  let server: Server;
  try {
    server = await startServer({ config, log: createLogger(config), signal: stopSignals.signal });
  } catch (error) {
    if (error instanceof StartCalledOff) return;
    throw error;
  }
  try {
    const { local, localKey, url } = server;
    if (!local) throw new Error('The demo runs in local mode alone.');
    if (localKey === null) throw new Error('The key was revoked: set API_KEY to another of yours.');
    screen.line(`It answers at ${url}; its data lie in ${local.dataDirectory}`);
    const client = createGraphQLClient({ url, key: localKey, signal: stopSignals.signal });
    await tellStory({ client, screen, clock: systemClock, filesDirectory: local.filesDirectory });

    screen.heading(`That took ${((performance.now() - begun) / 1000).toFixed(0)} s. Try next`);
    const { keyFile } = local;
    if (config.graphiql) {
      const terminal = process.stdout.isTTY;
      screen.line(`GraphiQL  ${graphiqlAddress({ url, apiKey: localKey, terminal })} (operations for each part)`);
    }
    screen.line(`Shell     KEY=${keyFile === null ? '$API_KEY' : `$(cat '${keyFile}')`}`);
    for (const part of curlLines(url)) screen.line(`          ${part}`);
    if (process.argv.includes(EXIT)) return;
    screen.line();
    screen.line('The server stays up. Ctrl-C ends it; `npm start` finds all of this again.');
    screen.line();
    const cause = await Promise.race([stopSignals.told, local.failed]);
    if (cause instanceof Error) throw cause;
  } catch (error) {
    if (!stopSignals.signal.aborted) throw error;
  } finally {
    await server.stop();
  }
};

const curlLines = (url: string): string[] => [
  `curl -s ${url}/graphql -H "X-API-Key: $KEY" -H 'Content-Type: application/json' \\`,
  `  -d '{"query": "{ runs { edges { node { jobName status rowsWritten } } } }"}'`,
];

/** The demo, until it is through or a signal stops it. */
export const runDemo = (): Promise<void> =>
  run().catch((error: unknown) => {
    console.error(`\n${failureWords(error) ?? (error instanceof Error ? error.message : String(error))}`);
    process.exit(1);
  });
