import { loadConfig } from '../config/config.ts';
import { failureWords } from './format-startup-error.ts';
import { greeting } from '../local/greeting.ts';
import type { Server } from './start-server.ts';
import { listenForStop } from './shutdown-signals.ts';

const start = async (): Promise<void> => {
  const stopSignals = listenForStop();
  const config = loadConfig(process.env);
  // The rest takes a second to load, and a wrong setting should be told at once.
  const { createLogger } = await import('./open-resources.ts');
  const { StartCalledOff, startServer } = await import('./start-server.ts');
  const log = createLogger(config);
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'unexpected; the process ends so that it cannot go on half broken');
    process.exit(1);
  });
  if (config.databaseUrl === null && process.stderr.isTTY) console.error('Starting Sluice in local mode ...');
  let server: Server;
  try {
    server = await startServer({ config, log, signal: stopSignals.signal });
  } catch (error) {
    if (error instanceof StartCalledOff) return;
    const { redactDatabaseUrl } = await import('../db/database-address.ts');
    const words = failureWords(error, config.databaseUrl === null ? null : redactDatabaseUrl(config.databaseUrl));
    if (words === null) log.fatal({ err: error }, 'Sluice could not start');
    else console.error(words);
    process.exit(1);
  }
  const { local, localKey, url } = server;
  log.info({ url, role: config.role }, 'Sluice answers');
  if (local) {
    // With one of the two redirected, the output may end in a file.
    const terminal = process.stdout.isTTY && process.stderr.isTTY;
    process.stderr.write(greeting({ ...local, url, apiKey: localKey, graphiql: config.graphiql, terminal }));
  }

  const cause = await Promise.race([stopSignals.told, ...(local ? [local.failed] : [])]);
  if (cause instanceof Error) {
    console.error(cause.message);
    process.exit(1);
  }
  log.info(
    { signal: cause },
    `stopping; running exports have ${config.graceSeconds} s to end, a second signal ends at once`,
  );
  await server.stop();
};

/** The server, until a signal stops it. */
export const serve = (): Promise<void> =>
  start().catch((error: unknown) => {
    console.error(failureWords(error) ?? error);
    process.exit(1);
  });
