// The format of an API key's secret, and its stored hash.
import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** Recognized by secret scanners, and by people in logs. */
const PREFIX = 'sluice_';
const SHAPE = /^sluice_([A-Za-z0-9_-]{43})([0-9a-f]{8})$/;
/** Length of the shown prefix: enough to identify a key in lists, too short to guess the rest. */
const SHOWN = 12;

/** Returns the prefix, 256 random bits and a CRC-32 checksum, which distinguishes a mistyped key from an unknown one. */
export function newSecret(): string {
  const random = randomBytes(32).toString('base64url');
  return `${PREFIX}${random}${checksum(random)}`;
}

/**
 * False only for a text that has the form of a generated key and a wrong checksum. Keys that an operator sets have no form, and
 * may begin with the prefix as well.
 */
export function isWellFormed(secret: string): boolean {
  const match = SHAPE.exec(secret);
  return match === null || checksum(match[1] ?? '') === match[2];
}

/** Minimum and maximum length of API_KEY. Generated keys are within these limits. */
export const MIN_SECRET = 32;
export const MAX_SECRET = 1000;

/** False if the text cannot be a key, so that no look-up is needed. */
export function canBeSecret(text: string): boolean {
  return text.length >= MIN_SECRET && text.length <= MAX_SECRET && isWellFormed(text);
}

/** A SHA-256 suffices: 256 random bits cannot be guessed, so no slow hash is needed. */
export const hashSecret = (secret: string): Buffer => createHash('sha256').update(secret).digest();

export function shownPrefix(secret: string): string {
  return secret.startsWith(PREFIX) ? secret.slice(0, SHOWN) : secret.slice(0, 4);
}

const checksum = (text: string): string => crc32(text).toString(16).padStart(8, '0');
