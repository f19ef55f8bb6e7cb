// Pure: the few kinds of failure that Sluice tells its callers about. Knows nothing of GraphQL or HTTP.
import type { IssueCode } from './issue-codes.ts';
import { truncate } from '../lib/truncate.ts';

/** Stable codes of expected failures; the same words in GraphQL, REST and the log. */
export type ErrorCode = 'VALIDATION_FAILED' | 'NOT_FOUND' | 'CONFLICT' | 'IDEMPOTENCY_MISMATCH' | 'LIMIT_EXCEEDED';

/** One thing that is wrong with the input: where (from the argument down), what, and a code for programs. */
export interface Issue {
  readonly path: readonly string[];
  readonly message: string;
  readonly code: IssueCode;
}

/** The base of every expected failure: its message is written for the caller and holds no secret. */
export abstract class UserError extends Error {
  abstract readonly code: ErrorCode;
}

/** The answer lists this many issues; the count says how many there are in all. */
export const MAX_LISTED_ISSUES = 100;

/** Paths quote the input: each of a hundred issues may be below the same name of megabytes. */
const MAX_PATH_PART = 600;

const truncateText = (issue: Issue): Issue =>
  issue.path.every((part) => part.length <= MAX_PATH_PART)
    ? issue
    : { ...issue, path: issue.path.map((part) => truncate(part, MAX_PATH_PART)) };

export class ValidationError extends UserError {
  readonly code = 'VALIDATION_FAILED';
  readonly issues: readonly Issue[];
  readonly issueCount: number;

  constructor(issues: readonly Issue[], issueCount: number = issues.length) {
    super(
      issueCount === 1
        ? (issues[0]?.message ?? 'The input is not valid.')
        : `The input has ${issueCount} issues. Nothing was stored.`,
    );
    this.issues = issues.slice(0, MAX_LISTED_ISSUES).map(truncateText);
    this.issueCount = issueCount;
  }
}

export class NotFoundError extends UserError {
  readonly code = 'NOT_FOUND';
}

export class ConflictError extends UserError {
  readonly code: 'CONFLICT' | 'IDEMPOTENCY_MISMATCH';

  constructor(message: string, code: 'CONFLICT' | 'IDEMPOTENCY_MISMATCH' = 'CONFLICT') {
    super(message);
    this.code = code;
  }
}

export class LimitExceededError extends UserError {
  readonly code = 'LIMIT_EXCEEDED';
  readonly limit: number;
  readonly actual: number;

  constructor(message: string, limit: number, actual: number) {
    super(message);
    this.limit = limit;
    this.actual = actual;
  }
}

/** What cannot be a typed result: a page size beyond the limit, both of two exclusive arguments. */
export class BadUserInputError extends Error {}

/** The database (or what else a request needs) is away for now; the caller may try again. */
export class UnavailableError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** The rows of the account moved to another node of a distributed database while they were read. */
export class MovedError extends UnavailableError {
  constructor() {
    super('The data of the account moved to another database node during the read. Retry.');
  }
}

/** The account uses all the database connections that it may use; nothing was sent to the database. */
export class AccountBusyError extends Error {
  constructor(limit: number) {
    super(
      `The account already uses all ${limit} database connections that one account may use at the same time. Retry in a few seconds.`,
    );
  }
}

/** Other writes to the stream took too long; nothing was written. */
export class StreamBusyError extends Error {
  constructor(stream: string, waitMs: number, options?: ErrorOptions) {
    super(
      `The stream "${stream}" is busy: other writes to it took longer than ${waitMs} ms. Nothing was written; retry in a few seconds.`,
      options,
    );
  }
}

/** The connection of the client closed before the work began; nobody reads the answer. */
export class ClientGoneError extends Error {
  constructor() {
    super('The client closed the connection. Nothing was written.');
  }
}

/** The caller sent as much as it may for now. */
export class RateLimitedError extends Error {
  readonly retryAfterSeconds: number;

  constructor(message: string, retryAfterSeconds: number) {
    super(message);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** The server does as much of something as it may at the same time; nothing of the request was done. */
export class OverloadedError extends Error {
  readonly retryAfterSeconds: number;

  constructor(message: string, retryAfterSeconds: number) {
    super(message);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** A request took longer than one may; what it had begun may still be done. */
export class RequestTimeoutError extends Error {
  constructor(limitMs: number) {
    super(
      `The request exceeded the time limit of ${limitMs} ms, and a change may have been stored. Request less at a time; retry a change with the same idempotency key.`,
    );
  }
}

/** Gathers issues: keeps the first hundred, counts them all, so that 10,000 bad records cost no 10,000 objects. */
export class IssueCollector {
  readonly issues: Issue[] = [];
  count = 0;

  add(path: readonly string[], code: IssueCode, message: string): void {
    this.count += 1;
    if (this.issues.length < MAX_LISTED_ISSUES) this.issues.push({ path, code, message });
  }

  /** Takes over what another one gathered. */
  addAll(other: IssueCollector): void {
    this.issues.push(...other.issues.slice(0, MAX_LISTED_ISSUES - this.issues.length));
    this.count += other.count;
  }

  /** Counts so many more that are alike and need not be named. */
  addUnnamed(count: number): void {
    this.count += count;
  }

  throwIfAny(): void {
    if (this.count > 0) throw new ValidationError(this.issues, this.count);
  }
}
