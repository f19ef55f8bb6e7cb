import { expect } from 'vitest';
import type { TestServer } from '../support/server.ts';
import { type Outcome, runSluice } from '../support/sluice-process.ts';

// Steps that the tests of client commands share.

export interface Client {
  /** Runs a command with the key of an account. */
  run(...args: readonly string[]): Promise<Outcome>;
  /** Runs a command with --json, expects it to succeed and returns the objects of its lines. */
  json<Item>(...args: readonly string[]): Promise<Item[]>;
}

export function clientOf(server: TestServer, key = server.key): Client {
  const run = (...args: readonly string[]): Promise<Outcome> =>
    runSluice('cli', args, { SLUICE_URL: server.url, API_KEY: key });
  return {
    run,
    json: async <Item>(...args: readonly string[]) => {
      const { code, stdout, stderr } = await run(...args, '--json');
      expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
      return stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Item);
    },
  };
}
