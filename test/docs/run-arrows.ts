import { RUN_STATUSES, TRANSITIONS } from '../../src/runs/run-status.ts';

/** Every possible transition of a run, such as `QUEUED RUNNING`. */
export const POSSIBLE_ARROWS: ReadonlySet<string> = new Set(
  RUN_STATUSES.flatMap((from) =>
    Object.values(TRANSITIONS[from]).flatMap((to) => (to === null ? [] : [`${from} ${to}`])),
  ),
);

/** Returns the transitions of a state diagram in the same format. */
export const arrowsOf = (diagram: string): ReadonlySet<string> =>
  new Set([...diagram.matchAll(/^\s+([A-Z]+) --> ([A-Z]+)/gm)].map((match) => `${match[1]} ${match[2]}`));
