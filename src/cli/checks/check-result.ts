// Pure: the result of a check of `doctor` or `scale-out check`.

export interface CheckResult {
  readonly verdict: 'ok' | 'warn' | 'broken' | 'skipped';
  readonly message: string;
}

export const ok = (message: string): CheckResult => ({ verdict: 'ok', message });

/** Sluice works, but the operator should look at it. */
export const warn = (message: string): CheckResult => ({ verdict: 'warn', message });

/** Sluice does not work like this. */
export const broken = (message: string): CheckResult => ({ verdict: 'broken', message });

export const skipped = (message: string): CheckResult => ({ verdict: 'skipped', message });
