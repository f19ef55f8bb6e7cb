/**
 * Measures the speed of one NDJSON request with many lines, and how much the memory of the server grows meanwhile.
 * Usage: node bench/intake-memory.ts [LINES], 10,000,000 by default. Exits with 1 if the limit is exceeded.
 * Linux only: the memory of the other process is read from /proc.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const LIMIT_MB = 150;
const SAMPLE_MS = 100;

const lineCount = Number(process.argv[2] ?? 10_000_000);

/** One line of a stream of 90 days, 15 filters and as many elements as lines. */
function lineAt(index: number): string {
  const day = new Date(Date.UTC(2026, 0, 1 + (index % 90))).toISOString().slice(0, 10);
  return `{"timestamp":"${day}T00:00:00Z","granularity":"DAILY","filter":{"region":["r${index % 5}"],"tier":["t${index % 3}"]},"element-name":"customer-${index}","value":"${index % 1000}.5"}\n`;
}

async function memoryOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
}

async function startServer(directory: string) {
  const child = spawn('npm', ['start'], {
    cwd: join(import.meta.dirname, '..'),
    detached: true,
    env: { PATH: process.env['PATH'] ?? '', DATA_DIR: directory, PORT: '0', LOG_LEVEL: 'info', LOG_FORMAT: 'json' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  for await (const line of createInterface({ input: child.stderr })) {
    const url = /"url":"([^"]+)"/.exec(line)?.[1];
    if (url !== undefined) {
      child.stderr.resume();
      return { child, url, key: (await readFile(join(directory, 'api-key'), 'utf8')).trim() };
    }
  }
  throw new Error('The server did not start.');
}

type Server = Awaited<ReturnType<typeof startServer>>;

/** Sends the lines as one request and returns the response. */
async function send({ url, key }: Server, stream: string, lines: number): Promise<string> {
  const sending = request(`${url}/unit-cost/v1/telemetry/allocation/${stream}/sum`, {
    method: 'POST',
    headers: { 'X-API-Key': key, 'Content-Type': 'application/x-ndjson' },
  });
  const answered = once(sending, 'response');
  let text = '';
  for (let index = 0; index < lines; index += 1) {
    text += lineAt(index);
    if (text.length > 65_536) {
      if (!sending.write(text)) await once(sending, 'drain');
      text = '';
    }
  }
  sending.end(text);
  const [response] = await answered;
  let body = '';
  for await (const chunk of response) body += String(chunk);
  if (response.statusCode !== 200) throw new Error(`The server answered ${response.statusCode}: ${body}`);
  return body;
}

const directory = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
const server = await startServer(directory);
// The npm script ends with exec, so the server is the child of npm.
const { stdout } = await promisify(execFile)('pgrep', ['-P', String(server.child.pid)]);
const pid = Number(stdout.trim());
try {
  // The first request warms up the server, so that this is not attributed to the large request.
  await send(server, 'warm-up', 10_000);
  const before = await memoryOf(pid);
  let peak = before;
  const sampling = setInterval(() => {
    void memoryOf(pid).then((now) => {
      peak = Math.max(peak, now);
    });
  }, SAMPLE_MS);
  const begun = performance.now();
  const body = await send(server, 'large', lineCount);
  const seconds = (performance.now() - begun) / 1000;
  clearInterval(sampling);
  const rise = peak - before;
  console.log(body);
  console.log(
    `${lineCount} lines in ${seconds.toFixed(1)} s (${Math.round(lineCount / seconds)} a second); memory ${before.toFixed(0)} MB before, ${peak.toFixed(0)} MB at most: ${rise.toFixed(0)} MB more (limit ${LIMIT_MB})`,
  );
  if (rise > LIMIT_MB) process.exitCode = 1;
} finally {
  process.kill(pid, 'SIGINT');
  await once(server.child, 'exit');
  await rm(directory, { recursive: true, force: true });
}
