// Writes test/jobs/golden-slots.ndjson anew, from the oracle and not from the code under test. Needed when a time zone of the table
// changes its rules (the test then fails on a Node with the new tables), or when the table is to hold more.
import { writeFileSync } from 'node:fs';
import { goldenSlots } from '../test/jobs/golden-slots.ts';

const file = new URL('../test/jobs/golden-slots.ndjson', import.meta.url);
const lines = goldenSlots()
  .map((one) => JSON.stringify(one))
  .toArray();
writeFileSync(file, `${lines.join('\n')}\n`);
console.log(`${lines.length} crons and zones, time zone tables ${process.versions['tz']}`);
