import type { ReactNode } from 'react';

export interface Fact {
  readonly name: string;
  /** Null leaves the fact out. */
  readonly value: ReactNode;
}

/** Names and values of one thing, such as the settings of a job. */
export function Facts({ facts }: { readonly facts: readonly Fact[] }) {
  return (
    <dl className="facts">
      {facts
        .filter(({ value }) => value !== null)
        .map(({ name, value }) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}
