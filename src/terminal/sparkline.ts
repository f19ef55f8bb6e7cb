// Pure: a line of small bars. Only their heights are rounded; figures are printed beside them.

const HEIGHTS = [...'▁▂▃▄▅▆▇█'];
const ZERO = '·';

/** One bar per value, the largest at full height. If there are more values than `width`, a bar is the mean of its neighbours. */
export function formatSparkline(values: readonly number[], width: number): string {
  const count = Math.min(values.length, Math.max(1, Math.floor(width)));
  const means = Array.from({ length: count }, (_, bar) => {
    const first = Math.floor((bar * values.length) / count);
    const end = Math.floor(((bar + 1) * values.length) / count);
    return values.slice(first, end).reduce((sum, value) => sum + value, 0) / (end - first);
  });
  const max = Math.max(...means);
  return means
    .map((mean) => (mean > 0 ? HEIGHTS[Math.max(0, Math.ceil((mean / max) * HEIGHTS.length) - 1)] : ZERO))
    .join('');
}
