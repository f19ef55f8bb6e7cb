import { describe, expect, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { runSluice } from '../support/sluice-process.ts';

const run = (...args: readonly string[]) => runSluice('cli', args, {});

describe('command line', () => {
  test('prints the version', async () => {
    expect(await run('--version')).toEqual({ code: 0, stdout: `${packageJson.version}\n`, stderr: '' });
  });

  test('lists the exit codes in --help', async () => {
    const { code, stdout } = await run('--help');
    expect([code, stdout.split('Exit codes:\n')[1]]).toEqual([
      0,
      expect.stringMatching(/^ {2}0 .*\n {2}1 .*\n {2}2 .*\n {2}130 .*\n$/),
    ]);
  });

  test.each<[string[], string]>([
    [['jbo'], "unknown command 'jbo'\n(Did you mean job?)"],
    [['job', 'lst'], "unknown command 'lst'\n(Did you mean list?)"],
    [['run', 'lits'], "unknown command 'lits'\n(Did you mean list?)"],
    [['job', 'list', '--jsn'], "unknown option '--jsn'\n(Did you mean --json?)"],
    [['delivery', 'list', '--state', 'STALLE'], 'Did you mean STALE?'],
    [['stream', 'list', '--limit', '0'], 'Expected a whole number from 1'],
    [['stream', 'show'], "missing required argument 'name'"],
    [['stream', 'show', 'a', 'b'], 'too many arguments'],
    [['export', 'watch'], "unknown command 'export'"],
  ])('rejects %j with exit code 2 and a hint', async (args, message) => {
    expect(await run(...args)).toEqual({ code: 2, stdout: '', stderr: expect.stringContaining(message) as string });
  });
});
