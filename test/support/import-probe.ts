/**
 * Run by import-effects.test.ts in a process of its own that may read files but neither write files nor start programs.
 * Imports each module named on the command line and reports on descriptor 3, as a line of JSON, what the import left
 * behind. The process must exit without a call to process.exit().
 */
import { writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

interface Trace {
  readonly resources: string[];
  readonly listeners: string[];
  readonly environment: string;
}

const LISTENED = [
  'SIGINT',
  'SIGTERM',
  'SIGHUP',
  'exit',
  'beforeExit',
  'uncaughtException',
  'unhandledRejection',
  'message',
];

function trace(): Trace {
  return {
    resources: process.getActiveResourcesInfo(),
    listeners: LISTENED.flatMap((event) => Array.from({ length: process.listenerCount(event) }, () => event)),
    environment: JSON.stringify(process.env),
  };
}

function added(before: readonly string[], after: readonly string[]): string[] {
  const left = [...before];
  return after.filter((name) => {
    const index = left.indexOf(name);
    if (index !== -1) left.splice(index, 1);
    return index === -1;
  });
}

// Node opens these when they are first read, which some packages do.
void [process.stdout, process.stderr];

let current = 'nothing';
process.on('exit', (code) => {
  if (code !== 0) writeSync(3, `${JSON.stringify({ path: current, left: [`the process ended with ${code}`] })}\n`);
});

for (const path of process.argv.slice(2)) {
  current = path;
  const before = trace();
  let failure: string[] = [];
  try {
    await import(pathToFileURL(path).href);
  } catch (error) {
    failure = [`threw ${String(error)}`];
  }
  // Effects that an import started before its first await are visible in the next round of the event loop.
  await new Promise((resolve) => setImmediate(resolve));
  const after = trace();
  const left = [
    ...failure,
    ...added(before.resources, after.resources).map((name) => `active ${name}`),
    ...added(before.listeners, after.listeners).map((name) => `listener of ${name}`),
    ...(before.environment === after.environment ? [] : ['changed environment']),
  ];
  writeSync(3, `${JSON.stringify({ path, left })}\n`);
}
