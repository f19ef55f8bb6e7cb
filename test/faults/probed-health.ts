import { readFileSync } from 'node:fs';
import { type Agent, get } from 'node:http';
import type { ServerProcess } from './deployment.ts';

/** Milliseconds for which the main thread of a process was ready and waited for a processor, as Linux counts them; 0 elsewhere. */
export const waitedMs = (pid: number): number => {
  try {
    const [, waited = '0'] = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ');
    return Number(waited) / 1e6;
  } catch {
    return 0;
  }
};

/** Milliseconds until /healthz answers, without those in which other processes had the processors of client and server. */
export const probeHealth = (server: ServerProcess, agent: Agent): Promise<number> =>
  new Promise((resolve, reject) => {
    const elsewhere = (): number => waitedMs(server.process.pid) + waitedMs(process.pid);
    const [begun, waitedBefore] = [performance.now(), elsewhere()];
    get(`${server.url}/healthz`, { agent }, (answer) => {
      answer.resume().once('end', () => resolve(performance.now() - begun - (elsewhere() - waitedBefore)));
    }).once('error', reject);
  });
