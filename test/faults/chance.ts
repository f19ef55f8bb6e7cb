import { inject } from 'vitest';

/** Random times and choices, reproducible by the seed. */
export interface Chance {
  /** A whole number, from `least` to `most`. */
  between(least: number, most: number): number;
  pick<Value>(values: readonly Value[]): Value;
}

/** Derived from the seed and a name, so that scenarios do not depend on each other's order. */
export const createChance = (name: string): Chance => {
  let state = inject('faultsSeed');
  for (const character of name) state = Math.imul(state ^ character.charCodeAt(0), 0x01_00_01_93);
  // Mulberry32.
  const next = (): number => {
    state = (state + 0x6d_2b_79_f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const between = (least: number, most: number): number => least + Math.floor(next() * (most - least + 1));
  return { between, pick: (values) => values[between(0, values.length - 1)] as never };
};

/** By the form of the suite that runs. */
export const inForm = <Value>(forms: { readonly short: Value; readonly full: Value }): Value =>
  forms[inject('faultsSize')];
