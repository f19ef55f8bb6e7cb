import { createHash } from 'node:crypto';

/**
 * Returns a name for a prepared statement, which each connection parses and plans once. It depends on the text alone, and is shorter
 * than PostgreSQL's limit of 63 bytes.
 */
export const nameStatement = (text: string): string => createHash('sha1').update(text).digest('base64');
