// Pure: the errors that Sluice reports to clients, independent of GraphQL and HTTP.
import type { IssueCode } from './issue-codes.ts';
import { truncate } from '../lib/truncate.ts';

/** Stable codes of expected failures, the same in GraphQL, REST and the log. */
export type ConflictCode =
  | 'CONFLICT'
  | 'IDEMPOTENCY_MISMATCH'
  | 'NOT_REVERTIBLE'
  | 'HISTORY_GONE'
  | 'TOO_RECENT'
  | 'BACKFILL_RUNNING'
  | 'BACKFILL_ENDED';
export type ErrorCode = ConflictCode | 'VALIDATION_FAILED' | 'NOT_FOUND' | 'LIMIT_EXCEEDED' | 'DESTINATION_REFUSED';

/** One problem in an input. The path starts at the argument. */
export interface Issue {
  readonly path: readonly string[];
  readonly message: string;
  readonly code: IssueCode;
}

/** Base of every expected failure. Clients receive its message, so it contains no secrets. */
export abstract class UserError extends Error {
  abstract readonly code: ErrorCode;
}

/** Maximum number of issues that a ValidationError lists. Its `issueCount` is the total. */
export const MAX_LISTED_ISSUES = 100;

/** Maximum number of characters of a path segment. Segments quote the input, whose names may have megabytes. */
const MAX_PATH_PART = 600;

function truncatePath(issue: Issue): Issue {
  return issue.path.every((part) => part.length <= MAX_PATH_PART)
    ? issue
    : { ...issue, path: issue.path.map((part) => truncate(part, MAX_PATH_PART)) };
}

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
    this.issues = issues.slice(0, MAX_LISTED_ISSUES).map(truncatePath);
    this.issueCount = issueCount;
  }
}

export class NotFoundError extends UserError {
  readonly code = 'NOT_FOUND';
}

export class ConflictError extends UserError {
  readonly code: ConflictCode;

  constructor(message: string, code: ConflictCode = 'CONFLICT') {
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

/** A test of a destination failed. The message is the one that a run would have. */
export class DestinationError extends UserError {
  readonly code = 'DESTINATION_REFUSED';
  /** Code of the error that a run would have, such as ACCESS_DENIED. */
  readonly reason: string;
  /** The policy to attach, as JSON text. */
  readonly bucketPolicy: string;

  constructor(message: string, reason: string, bucketPolicy: string) {
    super(message);
    this.reason = reason;
    this.bucketPolicy = bucketPolicy;
  }
}

/** Invalid argument of a field without typed errors, such as a page size above the maximum or two exclusive arguments. */
export class BadUserInputError extends Error {}

/** The database, or another dependency of the request, is unavailable. The client may retry. */
export class UnavailableError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** The rows of the account moved to another node of a distributed database during a read. */
export class MovedError extends UnavailableError {
  constructor() {
    super('The data of the account moved to another database node during the read. Retry.');
  }
}

/** The account uses its maximum of database connections. No statement was sent. */
export class AccountBusyError extends Error {
  constructor(limit: number) {
    super(
      `The account already uses all ${limit} database connections that one account may use at the same time. Retry in a few seconds.`,
    );
  }
}

/** Other writes to the stream took longer than STREAM_WAIT_MS. Nothing was written. */
export class StreamBusyError extends Error {
  constructor(stream: string, waitMs: number, options?: ErrorOptions) {
    super(
      `The stream "${stream}" is busy: other writes to it took longer than ${waitMs} ms. Nothing was written; retry in a few seconds.`,
      options,
    );
  }
}

/** The client closed its connection before the request was executed. */
export class ClientGoneError extends Error {
  constructor() {
    super('The client closed the connection. Nothing was written.');
  }
}

/** The API key exceeded its rate. */
export class RateLimitedError extends Error {
  readonly retryAfterSeconds: number;

  constructor(message: string, retryAfterSeconds: number) {
    super(message);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** The server is at a limit of concurrent work. The request had no effect. */
export class OverloadedError extends Error {
  readonly retryAfterSeconds: number;

  constructor(message: string, retryAfterSeconds: number) {
    super(message);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** The request exceeded REQUEST_TIMEOUT_MS. Statements that it had sent may still be committed. */
export class RequestTimeoutError extends Error {
  constructor(limitMs: number) {
    super(
      `The request exceeded the time limit of ${limitMs} ms, and a change may have been stored. Request less at a time; retry a change with the same idempotency key.`,
    );
  }
}

/** Collects issues: stores the first 100 and counts the others, so that 10,000 invalid records do not allocate 10,000 objects. */
export class IssueCollector {
  readonly issues: Issue[] = [];
  count = 0;

  add(path: readonly string[], code: IssueCode, message: string): void {
    this.count += 1;
    if (this.issues.length < MAX_LISTED_ISSUES) this.issues.push({ path, code, message });
  }

  /** Adds the issues of another collector. */
  addAll(other: IssueCollector): void {
    this.issues.push(...other.issues.slice(0, MAX_LISTED_ISSUES - this.issues.length));
    this.count += other.count;
  }

  /** Counts further issues without listing them. */
  addUnlisted(count: number): void {
    this.count += count;
  }

  throwIfAny(): void {
    if (this.count > 0) throw new ValidationError(this.issues, this.count);
  }
}
