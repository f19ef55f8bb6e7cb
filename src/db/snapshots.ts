// Pure: what a snapshot of PostgreSQL sees, decided without the database. Its text form is `xmin:xmax:xip`: every transaction before xmin
// has ended, none from xmax on, and of those between, the ones in the list xip have not.

/** Returns the first transaction that the snapshot may not see. It sees every earlier one. */
export function findOldestUnseen(snapshot: string): bigint {
  return BigInt(snapshot.slice(0, snapshot.indexOf(':')));
}

/** Returns the snapshot that sees every transaction before `xid`, and no other. */
export function formatSnapshotBefore(xid: bigint | string): string {
  return `${xid}:${xid}:`;
}

/** Returns a function that returns whether the snapshot sees what a transaction wrote. */
export function createVisibility(snapshot: string): (xid: bigint) => boolean {
  const [xmin = '', xmax = '', open = ''] = snapshot.split(':');
  const [first, end] = [BigInt(xmin), BigInt(xmax)];
  const unended = new Set(open === '' ? [] : open.split(',').map(BigInt));
  return (xid) => xid < first || (xid < end && !unended.has(xid));
}
