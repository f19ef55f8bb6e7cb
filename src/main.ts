import { startApp } from './app.ts';
import { ConfigError, loadConfig } from './config.ts';
import { startLocal } from './local-mode.ts';
import { createLogger, openResources } from './resources.ts';

const main = async (): Promise<void> => {
  const config = loadConfig(process.env);
  const log = createLogger(config);
  const local = config.databaseUrl === null ? await startLocal(config, log) : null;
  const resources = await openResources({
    config: local?.config ?? config,
    databaseUrl: local?.databaseUrl ?? config.databaseUrl ?? '',
    log,
    ...(local && { store: local.store, localKey: local.apiKey }),
  });
  const app = await startApp(resources);
  log.info({ url: app.url, role: config.role }, 'Sluice answers');
  local?.greet(app.url);

  let stopping = false;
  const stop = async (signal: string): Promise<void> => {
    if (stopping) return;
    stopping = true;
    log.info({ signal }, 'stopping');
    await app.stop();
    await resources.close();
    await local?.stop();
    process.exitCode = 0;
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      stop(signal).catch((error: unknown) => {
        log.fatal({ err: error }, 'could not stop in order');
        process.exit(1);
      });
    });
  }
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'unexpected; the process ends so that it cannot go on half broken');
    process.exit(1);
  });
};

main().catch((error: unknown) => {
  const known = error instanceof ConfigError || (error instanceof Error && error.name === 'DataDirectoryHeldError');
  console.error(known ? (error as Error).message : error);
  process.exit(1);
});
