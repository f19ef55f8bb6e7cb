import { describe, expect, test } from 'vitest';
import { TIME_ZONE_NAMES, TZ_RELEASE } from '../../src/lib/time-zone-names.ts';
import { findTimeZone, timeZoneProblem } from '../../src/lib/time-zones.ts';
import { formatInZone } from '../../src/lib/zoned-time.ts';

describe('time zone names', () => {
  test("have the release of Node's own tables; otherwise run scripts/time-zone-names.ts again", () => {
    expect(TZ_RELEASE).toBe(process.versions['tz']);
  });

  test('include every name that Intl lists, and links that Intl does not list', () => {
    const listed = Intl.supportedValuesOf('timeZone');
    expect(listed.length).toBeGreaterThan(400);
    expect(listed.filter((name) => !TIME_ZONE_NAMES.includes(name))).toEqual([]);
    const links = ['UTC', 'Etc/UTC', 'GMT', 'US/Eastern', 'GB-Eire', 'EST5EDT', 'Etc/GMT+5', 'NZ', 'Asia/Kolkata'];
    expect(links.filter((name) => !TIME_ZONE_NAMES.includes(name))).toEqual([]);
    expect(TIME_ZONE_NAMES.length).toBeGreaterThan(590);
  });

  test('are all accepted by Node, and unique regardless of case', () => {
    for (const name of TIME_ZONE_NAMES) {
      expect(() => new Intl.DateTimeFormat('en', { timeZone: name })).not.toThrow();
      expect(formatInZone(new Date('2026-11-15T12:00Z'), name)).toMatch(
        /^2026-11-1[56]T\d\d:\d\d:00(?:Z|[+-]\d\d:\d\d)$/,
      );
    }
    expect(new Set(TIME_ZONE_NAMES.map((name) => name.toLowerCase())).size).toBe(TIME_ZONE_NAMES.length);
  });
});

describe('findTimeZone', () => {
  test('finds each name in any case, in the spelling of the database', () => {
    for (const spell of [(name: string) => name, String.prototype.toLowerCase, String.prototype.toUpperCase]) {
      expect(TIME_ZONE_NAMES.map((name) => findTimeZone(spell.call(name, name)))).toEqual(TIME_ZONE_NAMES);
    }
  });

  test.each([
    ['+05:30', 'is an offset'],
    ['-08', 'is an offset'],
    ['UTC+1', 'is an offset'],
    ['GMT-05:00', 'is an offset'],
    ['PST', 'abbreviations are ambiguous'],
    ['CEST', 'abbreviations are ambiguous'],
    ['IST', 'abbreviations are ambiguous'],
    ['', 'is not a name in the IANA time zone database'],
    ['Factory', 'is not a name in the IANA time zone database'],
    ['America/New_York ', 'is not a name in the IANA time zone database'],
    ['Mars/Phobos', 'is not a name in the IANA time zone database'],
    // ICU defines this name, and Node accepts it.
    ['SystemV/AST4', 'is not a name in the IANA time zone database'],
    ['ACT', 'is not a name in the IANA time zone database'],
    ['__proto__', 'is not a name in the IANA time zone database'],
    ['A'.repeat(100_000), 'is not a name in the IANA time zone database'],
  ])('rejects %s with the reason', (name, reason) => {
    expect(findTimeZone(name)).toBeNull();
    expect(timeZoneProblem(name)).toContain(reason);
    expect(timeZoneProblem(name).length).toBeLessThan(300);
  });
});
