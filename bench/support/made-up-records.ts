// Generated usage, the same in each run: 15 filters of two dimensions, `days`, and as many elements as needed for `keys` record
// keys (day, filter and element), each repeated `repeats` times.

export interface Shape {
  readonly days: number;
  readonly keys: number;
  readonly repeats: number;
}

export interface MadeUpRecord {
  /** YYYY-MM-DD */
  readonly day: string;
  readonly region: string;
  readonly tier: string;
  readonly element: string;
  readonly value: string;
}

const DAY_MS = 86_400_000;
/** The last complete days, because exports compute their windows back from now. */
const LAST_DAY = Math.floor(Date.now() / DAY_MS) - 1;

const knownDays = new Map<number, string>();

/** The day, counted backwards from yesterday. */
function dayAt(index: number): string {
  let day = knownDays.get(index);
  if (day === undefined) {
    day = new Date((LAST_DAY - index) * DAY_MS).toISOString().slice(0, 10);
    knownDays.set(index, day);
  }
  return day;
}

/** Returns the record at an index of the shape's `keys * repeats`. */
export function recordAt(index: number, shape: Shape): MadeUpRecord {
  const key = index % shape.keys;
  const customer = Math.floor(key / shape.days);
  return {
    day: dayAt(key % shape.days),
    region: `r${customer % 5}`,
    tier: `t${customer % 3}`,
    element: `customer-${customer}`,
    value: `${(index * 7919) % 10_000}.${index % 10}5`,
  };
}

export function ndjsonLine({ day, region, tier, element, value }: MadeUpRecord): string {
  return `{"timestamp":"${day}T00:00:00Z","granularity":"DAILY","filter":{"region":["${region}"],"tier":["${tier}"]},"element-name":"${element}","value":"${value}"}\n`;
}

export function graphqlRecord({ day, region, tier, element, value }: MadeUpRecord): string {
  return `{"timestamp":"${day}T00:00:00Z","granularity":"DAILY","filter":[{"dimension":"region","values":["${region}"]},{"dimension":"tier","values":["${tier}"]}],"elementName":"${element}","value":"${value}"}`;
}

/** Returns a line of COPY for the columns of `records`. */
export function copyLine({ day, region, tier, element, value }: MadeUpRecord): string {
  const filter = Number(region.slice(1)) * 3 + Number(tier.slice(1)) + 1;
  return `1\t1\t${day} 00:00:00+00\t${filter}\t${element}\t${value}\t1\t\\N\t0\n`;
}
