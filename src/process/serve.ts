import { loadConfig } from '../config/config.ts';
import { formatStartupError } from './format-startup-error.ts';
import { greeting } from '../local/greeting.ts';
import type { Server } from './start-server.ts';
import { listenForStopSignals } from './shutdown-signals.ts';

async function start(): Promise<void> {
  const stopSignals = listenForStopSignals();
  const config = loadConfig(process.env);
  // The other modules take a second to load; invalid settings are reported before that.
  const { createLogger } = await import('./open-resources.ts');
  const { StartCancelled, startServer } = await import('./start-server.ts');
  const log = createLogger(config);
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'unexpected error; the process ends, because its state may be inconsistent');
    process.exit(1);
  });
  if (config.databaseUrl === null && process.stderr.isTTY) console.error('Starting Sluice in local mode ...');
  let server: Server;
  try {
    server = await startServer({ config, log, signal: stopSignals.signal });
  } catch (error) {
    if (error instanceof StartCancelled) return;
    const { redactDatabaseUrl } = await import('../db/database-address.ts');
    const message = formatStartupError(
      error,
      config.databaseUrl === null ? null : redactDatabaseUrl(config.databaseUrl),
    );
    if (message === null) log.fatal({ err: error }, 'Sluice could not start');
    else console.error(message);
    process.exit(1);
  }
  const { local, localKey, url } = server;
  const { role, awsRegion, s3Acl, s3Checksum } = config;
  log.info({ url, role, s3: { region: awsRegion, acl: s3Acl, checksum: s3Checksum } }, 'server started');
  if (local) {
    // If one of the two is redirected, the output may end up in a file.
    const terminal = process.stdout.isTTY && process.stderr.isTTY;
    const { graphiql, console: hasConsole } = config;
    process.stderr.write(greeting({ ...local, url, apiKey: localKey, graphiql, console: hasConsole, terminal }));
  }

  const cause = await Promise.race([stopSignals.received, ...(local ? [local.failed] : [])]);
  if (cause instanceof Error) {
    console.error(cause.message);
    process.exit(1);
  }
  log.info(
    { signal: cause },
    `stopping; running exports have ${config.graceSeconds} s to end, a second signal ends them immediately`,
  );
  await server.stop();
}

/** Runs the server until a signal stops it. */
export function serve(): Promise<void> {
  return start().catch((error: unknown) => {
    console.error(formatStartupError(error) ?? error);
    process.exit(1);
  });
}
