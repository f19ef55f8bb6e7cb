import { createHash } from 'node:crypto';

// A statement that has a name is parsed and planned once by each connection, and not each time.

/** The same for the same text, and short enough for Postgres (63 bytes). */
export const statementName = (text: string): string => createHash('sha1').update(text).digest('base64');
