import { resolveTypedPath } from '../api-endpoint.ts';
import type { ClientContext } from '../command-context.ts';
import { openInput } from './open-input.ts';

/** Reads a file, or standard input if its name is -, as UTF-8 without a byte order mark. */
export async function readInputText(file: string, env: ClientContext['env']): Promise<string> {
  const { chunks } = await openInput(file === '-' ? file : resolveTypedPath(file, env), process.stdin);
  const read: Buffer[] = [];
  for await (const chunk of chunks) read.push(chunk);
  return new TextDecoder().decode(Buffer.concat(read));
}
