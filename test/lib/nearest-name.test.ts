import { describe, expect, test } from 'vitest';
import { findNearestName } from '../../src/lib/nearest-name.ts';

describe('findNearestName', () => {
  test.each<[string, string[], string | null]>([
    ['regoin', ['tier', 'region'], 'region'],
    ['regio', ['region'], 'region'],
    ['regionn', ['region'], 'region'],
    ['legion', ['region'], 'region'],
    ['REGION', ['tier', 'region'], 'region'],
    ['r', ['R'], 'R'],
    ['teir', ['tier'], 'tier'],
    ['customer_naem', ['customer_id', 'customer_name'], 'customer_name'],
    ['zonne', ['zones', 'zone'], 'zone'],
    ['kosten😀', ['kosten😁'], 'kosten😁'],
    ['😀😀😀', ['😀😁😀'], '😀😁😀'],
  ])('suggests for %s from %j: %s', (name, candidates, expected) => {
    expect(findNearestName(name, candidates)).toBe(expected);
  });

  test.each<[string, string[]]>([
    ['customer', ['region']],
    ['az', ['ax']],
    ['env', ['dev2']],
    ['😀😀', ['😀😁']],
    ['region', []],
    ['', ['a']],
  ])('suggests nothing for %s from %j', (name, candidates) => {
    expect(findNearestName(name, candidates)).toBeNull();
  });

  test('prefers the fewest edits, then the first', () => {
    expect(findNearestName('region', ['legion', 'regions', 'regin'])).toBe('legion');
    expect(findNearestName('region', ['legions', 'regions'])).toBe('regions');
  });

  test('finds one edit at either end of names of 256 characters', () => {
    const name = 'é'.repeat(255);
    expect(findNearestName(`${name}a`, [`b${name}b`, `${name}b`])).toBe(`${name}b`);
    expect(findNearestName(`a${name}`, [name])).toBe(name);
  });
});
