import { randomInt } from 'node:crypto';
import type { TestProject } from 'vitest/node';

/** `FAULTS_SEED` repeats the random choices of an earlier run. */
export const setup = (project: TestProject): void => {
  const { CITUS_URL, FAULTS_SEED } = process.env;
  const seed = FAULTS_SEED ? Number(FAULTS_SEED) : randomInt(1_000_000_000);
  const said = CITUS_URL ? `to repeat the random choices: FAULTS_SEED=${seed}` : 'skipped: CITUS_URL is not set';
  process.stdout.write(`\nCitus: ${said}\n`);
  project.provide('faultsSeed', seed);
};
