/** Returns a function that calls `action` at most once per `everyMs` and ignores the calls in between. */
export function throttle<Args extends unknown[]>(
  everyMs: number,
  action: (...args: Args) => void,
): (...args: Args) => void {
  let lastAt = -Infinity;
  return (...args) => {
    const now = performance.now();
    if (now - lastAt < everyMs) return;
    lastAt = now;
    action(...args);
  };
}
