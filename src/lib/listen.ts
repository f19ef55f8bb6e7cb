import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A server could not listen. Its message is meant for the person who started it. */
class ListenError extends Error {
  constructor(host: string, port: number, cause: Error) {
    super(listenWords(host, port, 'code' in cause ? String(cause.code) : cause.message), { cause });
    this.name = 'ListenError';
  }
}

const listenWords = (host: string, port: number, code: string): string => {
  if (code === 'EADDRINUSE') return `Port ${port} of ${host} is taken by another program. Stop that, or set PORT.`;
  if (code === 'EACCES') return `This account may not listen on port ${port}. Set PORT to one from 1024 on.`;
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') return `HOST ${host} is no address of this machine.`;
  return `Cannot listen on port ${port} of ${host} (${code}). Correct HOST or PORT.`;
};

/** Answers where it listens, e.g. http://127.0.0.1:4000. Errors: ListenError. */
export const listen = (server: Server, host: string, port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(new ListenError(host, port, error));
    server.once('error', fail);
    server.listen(port, host, () => {
      server.removeListener('error', fail);
      const { address, port: actual, family } = server.address() as AddressInfo;
      const name = family === 'IPv6' ? `[${address}]` : address;
      resolve(`http://${name}:${actual}`);
    });
  });
