import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from '../support/server.ts';
import { freePort } from './local-server.ts';

/** Debian puts it where the PATH of an ordinary user does not lead. */
const PATH = [process.env['PATH'], '/usr/sbin'].join(':');

/** The program of Debian's package; null if it is not installed. */
export const findNginx = async (): Promise<string | null> => {
  try {
    const { stdout } = await promisify(execFile)('sh', ['-c', 'command -v nginx'], { env: { ...process.env, PATH } });
    return stdout.trim();
  } catch {
    return null;
  }
};

export interface Nginx {
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Starts nginx with these locations and nothing else: every directive that they do not name has its default. It runs as
 * the user of the test, in a temporary folder.
 */
export const startNginx = async (program: string, locations: string): Promise<Nginx> => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-nginx-'));
  const port = await freePort();
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  await writeFile(
    join(folder, 'nginx.conf'),
    `daemon off;
pid ${folder}/pid;
error_log ${folder}/error.log;
${process.getuid?.() === 0 ? 'user root;' : ''}
events {}
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n  ')}
  server {
    listen 127.0.0.1:${port};
    ${locations}
  }
}
`,
  );
  const child = spawn(program, ['-p', folder, '-e', join(folder, 'error.log'), '-c', join(folder, 'nginx.conf')], {
    stdio: 'ignore',
  });
  const exited = once(child, 'exit');
  const url = `http://127.0.0.1:${port}`;
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await exited;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await eventually(
      () =>
        fetch(url).then(
          () => true,
          () => child.exitCode !== null,
        ),
      (isThere) => isThere,
      10_000,
    );
    if (child.exitCode !== null) throw new Error('nginx did not start.');
    return { url, stop };
  } catch (error) {
    await stop();
    throw error;
  }
};
