import { describe, expect, test } from 'vitest';
import { subjectProblem } from '../../scripts/commits/subject.ts';

describe('subject of a commit', () => {
  test.each([
    'Move slotsBetween to the tests',
    'Address review comments',
    'Pass the clock as an argument',
    'Use lru-cache for the six caches',
    'Re-export nothing from src/db',
    'Bring the API docs up to date',
    `Add ${'x'.repeat(68)}`,
  ])('is accepted if it is imperative and short: %s', (subject) => {
    expect(subjectProblem(subject)).toBeNull();
  });

  test.each([
    ['move slotsBetween to the tests', 'capitalized imperative'],
    ['slotsBetween belongs to the tests, which alone ask for it', 'capitalized imperative'],
    ['A small run costs 0.3 ms less: no error for its heartbeat', 'capitalized imperative'],
    ['fix(queue): retry', 'capitalized imperative'],
    ['', 'capitalized imperative'],
    ['Fixed stuff', '"Fixed"'],
    ['Adding tests', '"Adding"'],
    ['Rejects abbreviations', '"Rejects"'],
    ['Move slotsBetween to the tests.', 'punctuation'],
    [`Add ${'x'.repeat(69)}`, '73 characters'],
  ])('is rejected with the reason: "%s"', (subject, reason) => {
    expect(subjectProblem(subject)).toContain(reason);
  });
});
