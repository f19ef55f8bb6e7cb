import { setTimeout as delay } from 'node:timers/promises';
import type { Settings } from '../support/sluice-process.ts';
import type { Deployment, ServerProcess } from './deployment.ts';

/** Servers that are started again whenever they end, as an operator's supervisor does. */
export interface SupervisedServers {
  /** Those that answer now. */
  readonly answering: readonly ServerProcess[];
  /** How many were killed. */
  readonly kills: number;
  /** Output of servers that responded once and ended without being killed. */
  readonly endedByThemselves: readonly string[];
  /** Kills a server that responds with SIGKILL and restarts it immediately. Returns false if none responds. */
  killOne(choose: (servers: readonly ServerProcess[]) => ServerProcess): boolean;
  /** Ends supervising and, by SIGKILL, the servers. */
  stop(): Promise<void>;
}

const PAUSE_MS = 200;

/** Resolves when all of them answer. */
export const superviseServers = async (
  deployment: Deployment,
  settings: readonly Settings[],
): Promise<SupervisedServers> => {
  const answering = new Set<ServerProcess>();
  const killed = new Set<ServerProcess>();
  const endedByThemselves: string[] = [];
  let stopping = false;

  const supervise = async (own: Settings, onAnswering: () => void): Promise<void> => {
    while (!stopping) {
      let server: ServerProcess;
      try {
        server = await deployment.startServer(own);
      } catch {
        // If the database is down, a start ends with a message.
        await delay(PAUSE_MS);
        continue;
      }
      answering.add(server);
      onAnswering();
      if (stopping) await server.process.destroy();
      await server.process.ended;
      answering.delete(server);
      if (!killed.has(server) && !stopping) endedByThemselves.push(server.process.stderr.slice(-4000));
    }
  };
  const done: Promise<void>[] = [];
  await Promise.all(settings.map((own) => new Promise<void>((resolve) => void done.push(supervise(own, resolve)))));

  return {
    get answering() {
      return [...answering];
    },
    get kills() {
      return killed.size;
    },
    endedByThemselves,
    killOne: (choose) => {
      if (answering.size === 0) return false;
      const server = choose([...answering]);
      killed.add(server);
      answering.delete(server);
      server.process.kill('SIGKILL');
      return true;
    },
    stop: async () => {
      stopping = true;
      await Promise.all([...answering].map((server) => server.process.destroy()));
      await Promise.all(done);
    },
  };
};
