// Pure: opaque ids that name the type, safe in a URL.

export const NODE_TYPES = ['Stream', 'AllocationOperation', 'Job', 'Run', 'Delivery', 'Backfill', 'ApiKey'] as const;
export type NodeType = (typeof NODE_TYPES)[number];

export function encodeGlobalId(type: NodeType, id: string | bigint): string {
  return Buffer.from(`${type}:${id}`).toString('base64url');
}

/** Longer than any id: the longest contains the name of a type and a UUID. */
const MAX_ID = 200;

/** Returns null if the text is not an id of Sluice. Such an id finds nothing, like that of another account. */
export function decodeGlobalId(text: string): { type: NodeType; id: string } | null {
  if (text.length > MAX_ID) return null;
  const decoded = Buffer.from(text, 'base64url').toString('utf8');
  const colon = decoded.indexOf(':');
  const type = NODE_TYPES.find((candidate) => candidate === decoded.slice(0, colon));
  const id = decoded.slice(colon + 1);
  // Only the canonical spelling is valid, so that clients can compare ids.
  return type && encodeGlobalId(type, id) === text ? { type, id } : null;
}

/** Returns the inner id if the text is an id of this type; otherwise an id that nothing has. */
export function parseGlobalId(type: NodeType, text: string): string {
  const decoded = decodeGlobalId(text);
  return decoded?.type === type ? decoded.id : '';
}

export const parseBigintId = (id: string): bigint => (/^\d{1,18}$/.test(id) ? BigInt(id) : -1n);
