import { execFile } from 'node:child_process';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { LocalLog } from '../log.ts';

const run = promisify(execFile);

const POLL_MS = 20;
const FAST_SHUTDOWN_MS = 20_000;
const PATIENCE_MS = 30_000;

interface ServerProcess {
  pid: number;
  /** The postmaster, which ends all others; they may outlive it when it was killed. */
  leads: boolean;
}

/**
 * Ends what an earlier start left running of the server with this cluster name. The caller holds
 * the directory, so that server is not in use any more.
 *
 * A postmaster.pid is not enough to know it by: after a reboot, or in a container, its pid belongs
 * to something else, and PostgreSQL refuses to start over it. Every process of PostgreSQL shows its
 * cluster name in its title.
 *
 * @param data the directory of the cluster
 * Throws if a process is left after 30 s.
 */
export async function endOrphanedServer(clusterName: string, data: string, log: LocalLog): Promise<void> {
  let left = await serverProcesses(clusterName);
  if (left.length > 0) {
    log.warn(`ending the PostgreSQL that an earlier start left behind (process ${pids(left)})`);
    // Backends outlive a postmaster that was killed.
    const leaders = left.filter((found) => found.leads);
    if (leaders.length > 0) signal(leaders, 'SIGINT');
    else signal(left, 'SIGQUIT');
  }
  for (let waitedMs = 0; left.length > 0; waitedMs += POLL_MS) {
    if (waitedMs === FAST_SHUTDOWN_MS) signal(left, 'SIGQUIT');
    if (waitedMs === PATIENCE_MS) throw new Error(`PostgreSQL does not end: process ${pids(left)}`);
    await delay(POLL_MS);
    left = await serverProcesses(clusterName);
  }
  await rm(join(data, 'postmaster.pid'), { force: true });
}

const pids = (processes: ServerProcess[]): string => processes.map((found) => found.pid).join(', ');

/** SIGINT: fast shutdown. SIGQUIT: immediate shutdown, repaired from the write-ahead log by the next start. */
function signal(processes: ServerProcess[], name: 'SIGINT' | 'SIGQUIT'): void {
  for (const { pid } of processes) {
    try {
      process.kill(pid, name);
    } catch {
      // It ended in between; one that may not be signalled is found by the wait.
    }
  }
}

async function serverProcesses(clusterName: string): Promise<ServerProcess[]> {
  // Not the shell that watches over the server: its command holds the server's.
  const leader = new RegExp(`^(?!\\S*sh ).*/postgres -c cluster_name=${clusterName} `);
  const found: ServerProcess[] = [];
  for (const { pid, command } of await runningCommands()) {
    const leads = leader.test(command);
    if (leads || command.startsWith(`postgres: ${clusterName}: `)) found.push({ pid, leads });
  }
  return found;
}

async function runningCommands(): Promise<{ pid: number; command: string }[]> {
  // Slim Linux images come without `ps`; other systems come without /proc.
  if (process.platform === 'linux') {
    const names = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
    return Promise.all(
      names.map(async (name) => {
        const line = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
        return { pid: Number(name), command: line.replaceAll('\0', ' ') };
      }),
    );
  }
  const { stdout } = await run('ps', ['-axww', '-o', 'pid=,args=']);
  return stdout.split('\n').map((line) => {
    const [pid = '', ...command] = line.trim().split(' ');
    return { pid: Number(pid), command: `${command.join(' ')} ` };
  });
}
