import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from '../support/server.ts';
import { freePort } from '../support/free-port.ts';

/** Debian installs servers in folders that are not in the PATH of ordinary users. */
const PATH = [process.env['PATH'], '/usr/sbin'].join(':');

/** Returns the path of a program, or null if it is not installed. */
export const findProgram = async (name: string): Promise<string | null> => {
  try {
    const { stdout } = await promisify(execFile)('sh', ['-c', 'command -v "$0"', name], {
      env: { ...process.env, PATH },
    });
    return stdout.trim();
  } catch {
    return null;
  }
};

export interface StartedProgram {
  readonly port: number;
  stop(): Promise<void>;
}

export interface ProgramOptions {
  readonly program: string;
  /** Files in a temporary folder, by name. */
  readonly files: (folder: string, port: number) => Readonly<Record<string, string>>;
  readonly args: (folder: string) => readonly string[];
  /** The user that runs the program. Defaults to the user of the test. */
  readonly account?: { readonly uid: number; readonly gid: number } | undefined;
  readonly isReady: (port: number) => Promise<boolean>;
}

/** Starts a server on a free port and waits until it is ready. SIGTERM ends it. */
export const startProgram = async (options: ProgramOptions): Promise<StartedProgram> => {
  const { program, account } = options;
  const folder = await mkdtemp(join(tmpdir(), 'sluice-program-'));
  const port = await freePort();
  for (const [name, text] of Object.entries(options.files(folder, port))) {
    await writeFile(join(folder, name), text);
    if (account) await chown(join(folder, name), account.uid, account.gid);
  }
  if (account) await chown(folder, account.uid, account.gid);
  const child = spawn(program, options.args(folder), { ...account, cwd: folder, stdio: 'ignore' });
  const exited = once(child, 'exit');
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await exited;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await eventually(
      () => options.isReady(port),
      (isReady) => isReady || child.exitCode !== null,
      10_000,
    );
    if (child.exitCode !== null) throw new Error(`${program} did not start.`);
    return { port, stop };
  } catch (error) {
    await stop();
    throw error;
  }
};
