// Pure: a line of small bars. Their heights are all that is rounded; nothing here is a figure that anybody reads.

const HEIGHTS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/** Where there is nothing; the lowest bar is a little. */
const NOTHING = '·';

/** One bar for each value of 0 or more, the largest as high as a bar can be. Neighbours share one where `width` is too small for all. */
export const sparkline = (values: readonly bigint[], width: number): string => {
  const levels = meansOf(values, Math.max(1, width));
  const most = levels.reduce((one, other) => (other > one ? other : one), 0n);
  return levels.map((level) => (level <= 0n ? NOTHING : HEIGHTS[heightOf(level, most)])).join('');
};

/** 0 to 7; the least is for all that is not nothing. */
const heightOf = (level: bigint, most: bigint): number =>
  Number((level * BigInt(HEIGHTS.length) + most - 1n) / most) - 1;

/**
 * At most `width` of them, each of neighbours: as sums they would jump where one has a neighbour more. Times a number that all
 * have in common, so that nothing is rounded.
 */
const meansOf = (values: readonly bigint[], width: number): readonly bigint[] => {
  if (values.length <= width) return values;
  const fewest = Math.floor(values.length / width);
  return Array.from({ length: width }, (_, cell) => {
    const members = values.slice(
      Math.floor((cell * values.length) / width),
      Math.floor(((cell + 1) * values.length) / width),
    );
    const sum = members.reduce((one, other) => one + other, 0n);
    return sum * BigInt(members.length === fewest ? fewest + 1 : fewest);
  });
};
