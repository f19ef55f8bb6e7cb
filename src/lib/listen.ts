import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A server could not listen. The message is shown in the terminal. */
class ListenError extends Error {
  constructor(host: string, port: number, cause: Error) {
    super(formatListenError(host, port, 'code' in cause ? String(cause.code) : cause.message), { cause });
    this.name = 'ListenError';
  }
}

function formatListenError(host: string, port: number, code: string): string {
  if (code === 'EADDRINUSE')
    return `Port ${port} of ${host} is in use by another program. Stop that program, or set PORT.`;
  if (code === 'EACCES') return `This account may not listen on port ${port}. Set PORT to one from 1024 on.`;
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
    return `HOST ${host} is not an address of this machine. Correct HOST.`;
  return `Cannot listen on port ${port} of ${host} (${code}). Correct HOST or PORT.`;
}

/** Returns the base URL, for example http://127.0.0.1:4000. Throws ListenError. */
export function listen(server: Server, host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(new ListenError(host, port, error));
    server.once('error', fail);
    server.listen(port, host, () => {
      server.removeListener('error', fail);
      const { address, port: actual, family } = server.address() as AddressInfo;
      const name = family === 'IPv6' ? `[${address}]` : address;
      resolve(`http://${name}:${actual}`);
    });
  });
}
