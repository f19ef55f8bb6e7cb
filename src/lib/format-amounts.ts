// Pure: counts, sizes and times in words. For what is shown while something goes on; values of records never come here.

export const formatCount = (count: number): string => count.toLocaleString('en-US');

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** In units of 1000. */
export const formatBytes = (bytes: number): string => {
  let unit = 0;
  let amount = bytes;
  while (amount >= 999.95 && unit < UNITS.length - 1) {
    amount /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? amount : amount.toFixed(1)} ${UNITS[unit]}`;
};

export const formatDuration = (milliseconds: number): string => {
  const seconds = milliseconds / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
};

export const formatRows = (rows: number): string => `${formatCount(rows)} ${rows === 1 ? 'row' : 'rows'}`;

/** A run in one line of a terminal; two blanks between columns, as in the tables of the commands. */
export const formatRun = (
  name: string,
  status: string,
  parts: readonly string[],
  milliseconds: number | null,
): string => [name, status, ...parts, ...(milliseconds === null ? [] : [formatDuration(milliseconds)])].join('  ');

export const pluralize = (count: number, noun: string): string =>
  `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
