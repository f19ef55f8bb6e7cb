import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Runs a shell command. Returns its duration in seconds and its output. */
export async function runCommand(command: string): Promise<{ readonly seconds: number; readonly output: string }> {
  const begun = performance.now();
  const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command.slice(0, 200)} ended with ${code}: ${output}`);
  return { seconds: (performance.now() - begun) / 1000, output };
}

/** Quotes a word for the shell. */
export function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
