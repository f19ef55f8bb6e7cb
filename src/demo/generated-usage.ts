// Pure: generated usage, identical on every machine: each value depends only on its stream, customer and day.

export interface GeneratedRecord {
  readonly timestamp: string;
  readonly granularity: 'DAILY';
  readonly filter: readonly { readonly dimension: string; readonly values: readonly string[] }[];
  readonly elementName: string;
  readonly value: string;
}

export interface GeneratedStream {
  readonly name: string;
  /** A dimension in addition to the region, which every stream has. */
  readonly dimension: { readonly name: string; readonly values: readonly string[] } | null;
  /** The daily usage of a customer of medium size. */
  readonly typical: number;
  readonly decimals: number;
}

export const GENERATED_STREAMS: readonly GeneratedStream[] = [
  {
    name: 'demo-api-calls',
    dimension: { name: 'feature', values: ['search', 'upload', 'reports'] },
    typical: 40_000,
    decimals: 0,
  },
  {
    name: 'demo-compute-hours',
    dimension: { name: 'size', values: ['small', 'large'] },
    typical: 60,
    decimals: 3,
  },
  { name: 'demo-storage-gb', dimension: null, typical: 900, decimals: 2 },
];

const FIRST = 'amber birch cedar delta ember fjord glade haven indigo juniper'.split(' ');
const SECOND =
  'analytics bakery cargo dental energy foods games health insure jobs kitchen labs media news optics parts rail sports travel works'.split(
    ' ',
  );
const REGIONS = ['ap-south', 'eu-west', 'us-east'];

/** Added to the value of one record after its delivery. */
export const DEMO_CORRECTION = 1000;

/** 200 names of customers. */
export const CUSTOMERS: readonly string[] = FIRST.flatMap((first) => SECOND.map((second) => `${first}-${second}`));

const DAY_MS = 86_400_000;

/** Returns the records of one stream on one date (YYYY-MM-DD): one or more per customer. */
export function generateUsage(stream: GeneratedStream, date: string): GeneratedRecord[] {
  const day = Math.round(Date.parse(`${date}T00:00:00Z`) / DAY_MS);
  // 1970-01-01 was a Thursday.
  const weekend = (day + 4) % 7 === 0 || (day + 4) % 7 === 6;
  return CUSTOMERS.flatMap((customer) => {
    // A few large customers and many small ones, each with its own variation over the months.
    const size = 0.1 / (pseudoRandom('size', customer) + 0.05);
    const season = 1 + 0.4 * Math.sin(day / 29 + 6.28 * pseudoRandom('season', customer));
    const level = stream.typical * size * season * (weekend ? 0.6 : 1);
    const region = REGIONS[Math.floor(pseudoRandom('region', customer) * REGIONS.length)] ?? '';
    return chooseVariants(stream, customer).map((variant): GeneratedRecord => ({
      timestamp: `${date}T00:00:00Z`,
      granularity: 'DAILY',
      filter: [
        { dimension: 'region', values: [region] },
        ...(stream.dimension && variant !== null ? [{ dimension: stream.dimension.name, values: [variant] }] : []),
      ],
      elementName: customer,
      value: (level * (0.7 + 0.6 * pseudoRandom(stream.name, customer, date, variant ?? ''))).toFixed(stream.decimals),
    }));
  });
}

/** Returns at least one value of the additional dimension. */
function chooseVariants({ name, dimension }: GeneratedStream, customer: string): readonly (string | null)[] {
  if (!dimension) return [null];
  const used = dimension.values.filter((value) => pseudoRandom('uses', name, customer, value) < 0.6);
  return used.length > 0 ? used : dimension.values.slice(0, 1);
}

/** Returns a number from 0 to 1 that depends only on the words: their FNV-1a hash, mixed by the final steps of MurmurHash3. */
function pseudoRandom(...words: readonly string[]): number {
  let hash = 0x811c9dc5;
  for (const character of words.join('\n')) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

/** Returns the dates from one to another, which is excluded. */
export function datesBetween(from: string, to: string): string[] {
  const days = (Date.parse(`${to}T00:00:00Z`) - Date.parse(`${from}T00:00:00Z`)) / DAY_MS;
  return Array.from({ length: Math.max(0, days) }, (_, index) => addDays(from, index));
}

/** Returns the UTC date as YYYY-MM-DD. */
export const formatDate = (time: Date): string => time.toISOString().slice(0, 10);

export function addDays(date: string, days: number): string {
  return formatDate(new Date(Date.parse(`${date}T00:00:00Z`) + days * DAY_MS));
}
