// Pure: the rules of `promtool check metrics`, for machines without promtool.

interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
}

/** Returns the metrics that an exposition describes. */
export const familiesOf = (exposition: string): Family[] => {
  const help = new Map(
    [...exposition.matchAll(/^# HELP (\S+) (.*)$/gm)].map(([, name = '', text = '']) => [name, text]),
  );
  return [...exposition.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => ({
    name,
    type,
    help: help.get(name) ?? '',
  }));
};

const ABBREVIATIONS = new Set('s ms us ns sec b kb mb gb tb pb m h d'.split(' '));
const OTHER_UNITS =
  /^(?:(?:milli|micro|nano|kilo|mega|giga|tera|peta|deca|hecto|centi|deci)\w+|minutes?|hours?|days?|weeks?|bits?|percents?|fahrenheit|kelvins?|calories|ounces|feet|inches|miles)$/;
const TYPES = new Set(['gauge', 'counter', 'histogram', 'summary', 'untyped']);

const problemsOf = ({ name, type, help }: Family): string[] => {
  const words = name.split('_');
  const suffixes = type === 'histogram' || type === 'summary' ? [] : ['_count', '_sum', '_bucket'];
  return [
    help.trim() === '' && 'has no help text',
    type === 'counter' && !name.endsWith('_total') && 'is a counter without the suffix _total',
    type !== 'counter' && name.endsWith('_total') && 'has the suffix _total but is not a counter',
    suffixes.some((suffix) => name.endsWith(suffix)) && 'has a suffix of histograms and summaries',
    words.some((word) => TYPES.has(word)) && 'names its type',
    words.some((word) => ABBREVIATIONS.has(word)) && 'abbreviates its unit',
    words.some((word) => OTHER_UNITS.test(word)) && 'has another unit than the base unit',
    name.includes(':') && 'has a colon, which belongs to recording rules',
    /[a-z][A-Z]/.test(name) && 'is in camel case',
  ].filter((problem) => problem !== false);
};

/** Returns the problems of the metrics of an exposition. */
export const lintMetrics = (exposition: string): string[] => [
  ...familiesOf(exposition).flatMap((family) => problemsOf(family).map((problem) => `${family.name} ${problem}`)),
  ...new Set(
    [...exposition.matchAll(/^(\w+)\{.*\b(le|quantile)="/gm)].flatMap(([, name = '', label = '']) =>
      (label === 'le' ? name.endsWith('_bucket') : exposition.includes(`# TYPE ${name} summary`))
        ? []
        : [`${name} has the label ${label}`],
    ),
  ),
];
