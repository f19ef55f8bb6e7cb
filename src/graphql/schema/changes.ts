import type { StoredChanges, StoredMeterChange } from '../../db/json-columns.ts';
import type { Builder } from './builder.ts';

const READ = { anyOf: ['READ'] } as const;

/** Options of the counts that a run and each of its meters have. */
const ROWS = {
  added: { type: 'SafeInt', description: 'Number of rows that the revision before lacks.' },
  removed: { type: 'SafeInt', description: 'Number of rows that only the revision before has.' },
  changed: { type: 'SafeInt', description: 'Number of rows with another value than before.' },
} as const;

/** Adds the type of the differences between two revisions of a window. */
export function addChanges(builder: Builder) {
  const meter = builder.objectRef<StoredMeterChange>('MeterChange').implement({
    description: 'Differences of one meter between two revisions of a window.',
    authScopes: READ,
    fields: (t) => ({
      meterApiName: t.exposeString('meterApiName', { description: 'Name of the stream.' }),
      rowsAdded: t.expose('rowsAdded', ROWS.added),
      rowsRemoved: t.expose('rowsRemoved', ROWS.removed),
      rowsChanged: t.expose('rowsChanged', ROWS.changed),
      valueBefore: t.expose('valueBefore', {
        type: 'Decimal',
        description: 'Sum of all rows of the meter in the revision before, after rescaling.',
      }),
      valueAfter: t.expose('valueAfter', {
        type: 'Decimal',
        description: 'Sum of all rows of the meter in this revision, after rescaling.',
      }),
    }),
  });
  return builder.objectRef<StoredChanges>('RunChanges').implement({
    description:
      'Differences between the rows of two revisions of a window. Rows that `sparse: false` fills with 0 do not count.',
    authScopes: READ,
    fields: (t) => ({
      rowsAdded: t.expose('rowsAdded', ROWS.added),
      rowsRemoved: t.expose('rowsRemoved', ROWS.removed),
      rowsChanged: t.expose('rowsChanged', ROWS.changed),
      meters: t.field({
        type: [meter],
        description: 'Meters whose rows changed, sorted by name. Maximum 1,000.',
        resolve: ({ meters }) => [...meters],
      }),
    }),
  });
}
