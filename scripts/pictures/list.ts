// Pure: the pictures of the console in docs/images.

/** Ids of objects that pages have in their addresses. */
export interface PicturedIds {
  /** The daily job, which has deliveries in each state. */
  readonly job: string;
  /** A run of another job that failed. */
  readonly failedRun: string;
  readonly failedJob: string;
}

export interface Picture {
  /** Name in docs/images, without the extension. */
  readonly name: string;
  /** Path and query below `/console`. */
  readonly path: (ids: PicturedIds) => string;
  /** Pixels. Every picture is PICTURE_WIDTH wide. */
  readonly height: number;
  readonly colorScheme: 'light' | 'dark';
  /** Values for fields of a form, by the label of the field. */
  readonly fields?: Readonly<Record<string, string>>;
  /** Whether the page draws a chart, which is loaded after the page. */
  readonly hasChart?: boolean;
  /** A text of the page that is visible when the page is complete. */
  readonly shows: string;
}

export const PICTURE_WIDTH = 1280;
export const MAX_PICTURE_BYTES = 150_000;

export const PICTURES: readonly Picture[] = [
  overview('light'),
  overview('dark'),
  { name: 'console-streams', path: () => '/streams', height: 480, colorScheme: 'light', shows: 'demo-storage-gb' },
  {
    name: 'console-stream',
    path: () => '/streams/demo-api-calls',
    height: 1000,
    colorScheme: 'light',
    hasChart: true,
    shows: 'glade-jobs',
  },
  { name: 'console-jobs', path: () => '/jobs', height: 600, colorScheme: 'light', shows: 'Daily usage by region' },
  {
    name: 'console-new-job',
    path: () => '/jobs/new',
    height: 900,
    colorScheme: 'light',
    fields: { Name: 'Usage for Globex', Destination: 's3://finance-exports/globex' },
    shows: 'First rows of a run now',
  },
  job('light'),
  job('dark'),
  {
    name: 'console-failed-run',
    path: ({ failedJob, failedRun }) => `/jobs/${failedJob}/runs/${failedRun}`,
    height: 890,
    colorScheme: 'light',
    shows: 'is not allowed to write to the bucket',
  },
  { name: 'console-keys', path: () => '/keys', height: 560, colorScheme: 'light', shows: 'usage collector' },
];

function overview(colorScheme: Picture['colorScheme']): Picture {
  return {
    name: `console-overview${suffix(colorScheme)}`,
    path: () => '/',
    height: 900,
    colorScheme,
    shows: 'Needs attention',
  };
}

function job(colorScheme: Picture['colorScheme']): Picture {
  return {
    name: `console-job${suffix(colorScheme)}`,
    path: (ids) => `/jobs/${ids.job}`,
    height: 1100,
    colorScheme,
    shows: 'Coverage',
  };
}

function suffix(colorScheme: Picture['colorScheme']): string {
  return colorScheme === 'dark' ? '-dark' : '';
}
