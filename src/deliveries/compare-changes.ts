// Pure: whether the changes of a stream concern what a delivery owes.
import type { DimensionValues } from '../db/json-columns.ts';
import { isElement } from '../usage/sums-query.ts';

/** A bucket, filter and element whose value or number of records differs from what a delivery may contain. */
export interface ChangedKey {
  /** Start of the bucket in Unix milliseconds; of a calendar date, its midnight in UTC. */
  readonly bucket: number;
  readonly filterId: string;
  readonly element: string;
}

/** The net change of a stream by a set of operations. */
export interface StreamChange {
  readonly isCalendar: boolean;
  /** Null if everything counts as changed: too many keys changed, or the records are purged. */
  readonly keys: readonly ChangedKey[] | null;
  /** Dimensions of each filter of the keys. */
  readonly dimensions: ReadonlyMap<string, Readonly<Record<string, readonly string[]>>>;
}

/** The part of the ledger for which a delivery is responsible. Bounds are half-open. */
export interface OwedPart {
  readonly windowStart: Date;
  readonly owedUntil: Date;
  /** The same as calendar dates. */
  readonly dateStart: string;
  readonly dateOwedUntil: string;
  readonly filter: readonly DimensionValues[] | null;
}

/** Answers for many deliveries, each in about constant time, which of the keys they contain. */
export class ChangeIndex {
  readonly #change: StreamChange;
  readonly #byElement = new Map<string, ChangedKey[]>();
  readonly #answers = new Map<string, boolean>();

  constructor(change: StreamChange) {
    this.#change = change;
    for (const key of change.keys ?? []) {
      const list = this.#byElement.get(key.element);
      if (list) list.push(key);
      else this.#byElement.set(key.element, [key]);
    }
  }

  /** Number of keys that the index keeps in memory. */
  get size(): number {
    return this.#change.keys?.length ?? 0;
  }

  concerns(part: OwedPart): boolean {
    const { keys, isCalendar } = this.#change;
    if (keys === null) return true;
    if (keys.length === 0) return false;
    const [from, to] = isCalendar
      ? [Date.parse(part.dateStart), Date.parse(part.dateOwedUntil)]
      : [part.windowStart.getTime(), part.owedUntil.getTime()];
    const question = JSON.stringify([from, to, part.filter]);
    const known = this.#answers.get(question);
    if (known !== undefined) return known;
    const answer = this.#find(part.filter ?? [], from, to);
    this.#answers.set(question, answer);
    return answer;
  }

  #find(filter: readonly DimensionValues[], from: number, to: number): boolean {
    const ofElement = filter.find(({ dimension }) => isElement(dimension));
    const ofDimensions = filter.filter((entry) => entry !== ofElement);
    const passes = new Map<string, boolean>();
    const passesFilter = (filterId: string): boolean => {
      let isPassing = passes.get(filterId);
      if (isPassing === undefined) {
        const dimensions = this.#change.dimensions.get(filterId) ?? {};
        isPassing = ofDimensions.every(({ dimension, values }) =>
          values.some((value) => Object.hasOwn(dimensions, dimension) && dimensions[dimension]?.includes(value)),
        );
        passes.set(filterId, isPassing);
      }
      return isPassing;
    };
    const isOwed = ({ bucket, filterId }: ChangedKey): boolean =>
      bucket >= from && bucket < to && passesFilter(filterId);
    if (!ofElement) return (this.#change.keys ?? []).some(isOwed);
    return ofElement.values.some((element) => this.#byElement.get(element)?.some(isOwed));
  }
}
