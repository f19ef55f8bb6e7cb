// Pure: the API key in the fragment of an address.

/** Returns the key of a fragment such as `#key=secret`; null if it has none. A "+" is a plus sign, not a space. */
export function readKeyFragment(hash: string): string | null {
  const key = new URLSearchParams(hash.replace(/^#/, '').replaceAll('+', '%2B')).get('key');
  return key?.trim() || null;
}
