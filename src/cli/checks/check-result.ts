// Pure: what doctor says of one thing that it looked at.

export type Verdict = 'ok' | 'warn' | 'broken' | 'skipped';

export interface Finding {
  readonly verdict: Verdict;
  readonly words: string;
}

export const ok = (words: string): Finding => ({ verdict: 'ok', words });
/** Works, or nothing needs it yet, but probably is not meant. */
export const warn = (words: string): Finding => ({ verdict: 'warn', words });
/** Sluice cannot work like this. */
export const broken = (words: string): Finding => ({ verdict: 'broken', words });
export const skipped = (words: string): Finding => ({ verdict: 'skipped', words });
