// Generates test/jobs/golden-slots.ndjson from the oracle, not from the code under test. Run it if a time zone of the table changes
// its rules (the test then fails on a Node with the new tz database), or to add crons and zones.
import { writeFileSync } from 'node:fs';
import { goldenSlots } from '../test/jobs/golden-slots.ts';

const file = new URL('../test/jobs/golden-slots.ndjson', import.meta.url);
const lines = goldenSlots()
  .map((one) => JSON.stringify(one))
  .toArray();
writeFileSync(file, `${lines.join('\n')}\n`);
console.log(`${lines.length} crons and zones, time zone tables ${process.versions['tz']}`);
