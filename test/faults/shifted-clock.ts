// Loaded before a server by `node --import`: shifts its clock by a number of milliseconds, as on a machine without NTP.

const aheadMs = Number(process.env['CLOCK_AHEAD_MS']);
if (!Number.isFinite(aheadMs)) throw new Error('CLOCK_AHEAD_MS is not set.');

const RightDate = Date;

globalThis.Date = new Proxy(RightDate, {
  construct: (target, given: [], newTarget: typeof Date) =>
    Reflect.construct(target, given.length === 0 ? [RightDate.now() + aheadMs] : given, newTarget) as Date,
  apply: () => new RightDate(RightDate.now() + aheadMs).toString(),
  get: (target, name, receiver): unknown =>
    name === 'now' ? () => RightDate.now() + aheadMs : Reflect.get(target, name, receiver),
});
