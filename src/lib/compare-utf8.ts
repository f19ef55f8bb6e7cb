// Pure: the order by which all of Sluice sorts text.

/**
 * Compares by UTF-8 bytes, as `COLLATE "C"` does in PostgreSQL. JavaScript compares UTF-16 units and puts U+1F600
 * before U+FF5E, so the units of surrogate pairs are moved above all others.
 */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i += 1) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return lift(x) - lift(y);
  }
  return a.length - b.length;
}

const lift = (unit: number): number => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit);
