import { RUN_STATUSES, TRANSITIONS } from '../../src/runs/run-status.ts';

/** From and to, as `QUEUED RUNNING`, of every change of a run that is possible. */
export const POSSIBLE_ARROWS: ReadonlySet<string> = new Set(
  RUN_STATUSES.flatMap((from) =>
    Object.values(TRANSITIONS[from]).flatMap((to) => (to === null ? [] : [`${from} ${to}`])),
  ),
);

/** The same, of a diagram of states. */
export const arrowsOf = (diagram: string): ReadonlySet<string> =>
  new Set([...diagram.matchAll(/^\s+([A-Z]+) --> ([A-Z]+)/gm)].map((match) => `${match[1]} ${match[2]}`));
