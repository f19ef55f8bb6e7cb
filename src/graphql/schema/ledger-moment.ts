import type { Builder } from './builder.ts';

export function addLedgerMomentInput(builder: Builder) {
  return builder.inputType('LedgerMomentInput', {
    description: 'Earlier state of the ledger. Give exactly one field.',
    isOneOf: true,
    fields: (t) => ({
      time: t.field({
        type: 'DateTime',
        description:
          'Last recorded state at or before this time, which is not in the future. Accurate to the scan interval (`LEDGER_SCAN_SECONDS`) for 7 days, then to one hour.',
      }),
      operation: t.id({
        description:
          'State with this operation, and those of its transaction, as the last. Id of an operation of the account.',
      }),
      run: t.id({ description: 'State that this run read. Id of a run of the account that has started.' }),
    }),
  });
}
