// Pure: the result of a check of `doctor` or `scale-out check`.

export interface CheckResult {
  readonly verdict: 'ok' | 'warn' | 'broken' | 'skipped';
  readonly message: string;
}

export function ok(message: string): CheckResult {
  return { verdict: 'ok', message };
}

/** Sluice works, but the operator should look at it. */
export function warn(message: string): CheckResult {
  return { verdict: 'warn', message };
}

/** Sluice does not work like this. */
export function broken(message: string): CheckResult {
  return { verdict: 'broken', message };
}

export function skipped(message: string): CheckResult {
  return { verdict: 'skipped', message };
}
