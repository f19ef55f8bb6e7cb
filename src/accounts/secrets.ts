// How the secret of a key looks, and what is stored of it.
import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** Recognisable in logs and by secret scanners. */
const PREFIX = 'sluice_';
const SHAPE = /^sluice_([A-Za-z0-9_-]{43})([0-9a-f]{8})$/;
/** Shown to tell keys apart: far too little to guess the rest by. */
const SHOWN = 12;

/** 256 random bits between the prefix and a checksum (CRC-32), which tells a mistyped key from an unknown one. */
export const newSecret = (): string => {
  const random = randomBytes(32).toString('base64url');
  return `${PREFIX}${random}${checksum(random)}`;
};

/**
 * False only for what has the shape of a key and a checksum that is not its own: keys set by an operator have no form,
 * and may begin with the prefix too.
 */
export const isWellFormed = (secret: string): boolean => {
  const match = SHAPE.exec(secret);
  return match === null || checksum(match[1] ?? '') === match[2];
};

/** The lengths that API_KEY may have; keys that Sluice makes lie between. */
export const MIN_SECRET = 32;
export const MAX_SECRET = 1000;

/** False if it cannot be a key, so that there is nothing to look up. */
export const canBeSecret = (text: string): boolean =>
  text.length >= MIN_SECRET && text.length <= MAX_SECRET && isWellFormed(text);

/** A SHA-256 suffices: 256 random bits cannot be guessed, so no slow hash is needed. */
export const hashSecret = (secret: string): Buffer => createHash('sha256').update(secret).digest();

export const shownPrefix = (secret: string): string =>
  secret.startsWith(PREFIX) ? secret.slice(0, SHOWN) : secret.slice(0, 4);

const checksum = (text: string): string => crc32(text).toString(16).padStart(8, '0');
