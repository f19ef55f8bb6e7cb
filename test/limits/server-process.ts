import { randomBytes } from 'node:crypto';
import { createTestDatabase } from '../support/postgres.ts';
import { type Settings, startSluice } from '../support/sluice-process.ts';
import type { Target } from './worst-inputs.ts';

/** A server in a process of its own, with a database of its own. */
export interface ServerProcess extends Target {
  stop(): Promise<void>;
}

/** Starts a server that exports nothing. */
export async function startServerProcess(settings: Settings = {}): Promise<ServerProcess> {
  const key = randomBytes(24).toString('hex');
  const database = await createTestDatabase();
  const sluice = startSluice({
    DATABASE_URL: database.url,
    API_KEY: key,
    PORT: '0',
    ROLE: 'api',
    LOG_FORMAT: 'json',
    AWS_REGION: 'us-east-1',
    ...settings,
  });
  const stop = async (): Promise<void> => {
    await sluice.destroy();
    await database.drop();
  };
  try {
    const words = await sluice.said('server started');
    return { url: /"url":"([^"]+)"/.exec(words)?.[1] ?? '', key, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
