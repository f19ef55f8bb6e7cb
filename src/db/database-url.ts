// Pure: finds mistakes in the spelling of a database address.

const ESCAPE =
  'has characters in its user or password that must be escaped: write @ as %40, # as %23, / as %2F, ? as %3F, % as %25';

/** An `@` before the first parameter, or in the first one if a host and a database follow; not the `@` in the path of a file. */
const REST_OF_PASSWORD = /^(?:[^=&]*@|[^/&@]*@[^/&]+\/[^/])/;

/**
 * Returns what is wrong with an address, or null. An unescaped # or / in a password ends the host, so that a part of the password
 * would be read as the port or the name of the database, and shown in messages.
 */
export function findAddressProblem(text: string): string | null {
  const rest = /^postgres(?:ql)?:\/\/(.*)$/s.exec(text)?.[1];
  if (rest === undefined) return 'must be a URL that begins with postgres:// or postgresql://';
  if (rest.includes('#')) return ESCAPE;
  const [beforeQuery = '', ...query] = rest.split('?');
  const [authority = '', ...path] = beforeQuery.split('/');
  if (path.join('/').includes('@')) return ESCAPE;
  // The password contains a question mark, so the text after it is not a list of parameters.
  if (authority.includes(':') && !authority.includes('@') && REST_OF_PASSWORD.test(query.join('?'))) return ESCAPE;
  if (!URL.canParse(text)) return ESCAPE;
  const { username, password } = new URL(text);
  try {
    decodeURIComponent(username + password);
  } catch {
    return ESCAPE;
  }
  return null;
}
