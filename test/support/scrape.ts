/** One sample of a scrape. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A response of /metrics. */
export interface Scrape {
  readonly samples: readonly Sample[];
  /** Returns the sum of the samples with these labels, or undefined if there is no such sample. */
  value(name: string, labels?: Readonly<Record<string, string>>): number | undefined;
}

const LINE = /^(?<name>[a-zA-Z_:][\w:]*)(?:\{(?<labels>.*)\})? (?<value>\S+)$/;

export async function scrape(url: string): Promise<Scrape> {
  const response = await fetch(`${url}/metrics`);
  const text = await response.text();
  if (response.status !== 200) throw new Error(`/metrics answers ${response.status}: ${text}`);
  const samples = text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line): Sample => {
      const found = LINE.exec(line)?.groups;
      if (!found?.['name']) throw new Error(`Not a sample: ${line}`);
      const labels = [...(found['labels'] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
      return {
        name: found['name'],
        labels: Object.fromEntries(labels.map(([, name, value]) => [name, value])),
        value: Number(found['value']),
      };
    });
  return {
    samples,
    value: (name, labels = {}) => {
      const fitting = samples.filter(
        (sample) =>
          sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
      );
      return fitting.length === 0 ? undefined : fitting.reduce((sum, { value }) => sum + value, 0);
    },
  };
}
