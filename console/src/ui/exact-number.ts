// Pure: formats exact numbers. The API returns figures as exact strings; Number() would round long ones.

/** Inserts a comma between groups of three digits before the decimal point: `-1234567.125` becomes `-1,234,567.125`. */
export function groupDigits(value: string | number): string {
  const [, sign = '', whole = '', rest = ''] = /^(-?)(\d+)(.*)$/.exec(String(value)) ?? [];
  return whole === '' ? String(value) : `${sign}${whole.replaceAll(/\B(?=(?:\d{3})+$)/g, ',')}${rest}`;
}

/** Formats a count with its noun: `1 record`, `2,000 records`. `plural` defaults to the singular with an s. */
export function countOf(count: number, singular: string, plural = `${singular}s`): string {
  return `${groupDigits(count)} ${count === 1 ? singular : plural}`;
}

const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** Formats bytes in decimal units with up to one decimal, such as `1.2 MB`. */
export function formatBytes(bytes: number): string {
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), UNITS.length - 1);
  return `${Math.round((bytes / 1000 ** power) * 10) / 10} ${UNITS[power]}`;
}
