import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { delimiter, dirname } from 'node:path';

export interface PageServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** Runs the command in the folder of an example, and waits until it prints the address of its page. */
export const servePages = async (command: string, folder: string, sluice: string): Promise<PageServer> => {
  const child = spawn('bash', ['-c', `exec ${command}`], {
    cwd: folder,
    env: {
      PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter),
      HOME: process.env['HOME'],
      SLUICE_URL: sluice,
      NO_COLOR: '1',
    },
    // Vite logs failed requests to the server on standard error, which some tests cause.
    stdio: ['ignore', 'pipe', 'ignore'],
    // A process group of its own, because npm does not wait for its children.
    detached: true,
  });
  const ended = once(child, 'close');
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-(child.pid ?? 0), 'SIGTERM');
    await ended;
  };
  const url = await new Promise<string>((resolve, reject) => {
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
      const address = /http:\/\/(?:127\.0\.0\.1|localhost):\d+/.exec(output)?.[0];
      if (address !== undefined) resolve(address);
    });
    void ended.then(() => reject(new Error(`\`${command}\` ended: ${output}`)));
  });
  return { url, stop };
};
