import { describe, expect, test } from 'vitest';
import { greeting, linkWithKey } from '../../src/local/greeting.ts';

const announced = {
  url: 'http://127.0.0.1:4000',
  apiKey: 'a key / of 32 characters + or more',
  keyFile: '/data/api-key',
  terminal: true,
  graphiql: true,
  console: true,
  dataDirectory: '/data',
  filesDirectory: '/data/s3',
};

describe('link to the console', () => {
  test('contains the key as a fragment that the page can decode when a terminal shows it', () => {
    const link = linkWithKey(announced);
    expect(link).toBe('http://127.0.0.1:4000/#key=a%20key%20%2F%20of%2032%20characters%20%2B%20or%20more');
    expect(new URLSearchParams(new URL(link).hash.slice(1)).get('key')).toBe(announced.apiKey);
  });

  test.each([
    ['http://0.0.0.0:4000', 'http://127.0.0.1:4000/'],
    ['http://[::]:4000', 'http://[::1]:4000/'],
    ['http://192.168.1.7:4000', 'http://192.168.1.7:4000/'],
  ])('leads to an address that a browser opens when the server listens on %s', (url, link) => {
    expect(linkWithKey({ ...announced, url, terminal: false })).toBe(link);
  });
});

describe('greeting', () => {
  test('has one link with the key, of the console or else of GraphiQL', () => {
    expect(greeting(announced)).toMatch(/^ {2}Console {3}http:\/\/127\.0\.0\.1:4000\/#key=a%20key\S*$/m);
    expect(greeting(announced)).toMatch(/^ {2}GraphiQL {2}http:\/\/127\.0\.0\.1:4000\/graphql$/m);
    expect(greeting({ ...announced, console: false })).toMatch(/^ {2}GraphiQL {2}\S+\/graphql#key=a%20key\S*$/m);
    expect(greeting({ ...announced, console: false, graphiql: false })).toMatch(/^ {2}API {7}\S+\/graphql$/m);
  });

  test('contains no key when no terminal shows it, or when the key was revoked', () => {
    expect(greeting({ ...announced, terminal: false })).not.toMatch(/#key|characters/);
    expect(greeting({ ...announced, terminal: false })).toMatch(/^ {2}Key {7}in \/data\/api-key$/m);
    const revoked = greeting({ ...announced, apiKey: null });
    expect(revoked).not.toContain('#key');
    expect(revoked).toContain('revoked: use another key of yours');
  });
});
