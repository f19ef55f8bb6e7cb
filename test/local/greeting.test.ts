import { describe, expect, test } from 'vitest';
import { graphiqlAddress, greeting } from '../../src/local/greeting.ts';

const announced = {
  url: 'http://127.0.0.1:4000',
  apiKey: 'a key / of 32 characters + or more',
  keyFile: '/data/api-key',
  terminal: true,
  graphiql: true,
  dataDirectory: '/data',
  filesDirectory: '/data/s3',
};

describe('link to GraphiQL', () => {
  test('contains the key as a fragment that the page can decode when a terminal shows it', () => {
    const link = graphiqlAddress(announced);
    expect(link).toBe('http://127.0.0.1:4000/graphql#key=a%20key%20%2F%20of%2032%20characters%20%2B%20or%20more');
    expect(new URLSearchParams(new URL(link).hash.slice(1)).get('key')).toBe(announced.apiKey);
  });

  test.each([
    ['http://0.0.0.0:4000', 'http://127.0.0.1:4000/graphql'],
    ['http://[::]:4000', 'http://[::1]:4000/graphql'],
    ['http://192.168.1.7:4000', 'http://192.168.1.7:4000/graphql'],
  ])('leads to an address that a browser opens when the server listens on %s', (url, link) => {
    expect(graphiqlAddress({ ...announced, url, terminal: false })).toBe(link);
  });
});

describe('greeting', () => {
  test('contains no key when no terminal shows it, or when the key was revoked', () => {
    expect(greeting({ ...announced, terminal: false })).not.toMatch(/#key|characters/);
    expect(greeting({ ...announced, terminal: false })).toMatch(/^ {2}Key {7}in \/data\/api-key$/m);
    const revoked = greeting({ ...announced, apiKey: null });
    expect(revoked).not.toContain('#key');
    expect(revoked).toContain('revoked: use another key of yours');
  });
});
