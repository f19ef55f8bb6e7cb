// Pure: results of the API that are errors.
import { replaceControlCharacters } from '../terminal/terminal.ts';
import { CommandError } from './command-error.ts';

/** Selects a UserError in a result that can be a ValidationError. */
export const USER_ERRORS = '... on UserError { message } ... on ValidationError { issueCount issues { path message } }';

interface Issue {
  /** Argument of the operation, field of the input, and the path in the field. */
  readonly path: readonly string[];
  readonly message: string;
}

/** A result that is an error. */
export interface Refusal {
  readonly message: string;
  readonly issues?: readonly Issue[];
  /** Number of all issues, of which `issues` lists the first ones. */
  readonly issueCount?: number;
}

/** Returns the option, or the argument or field of a file, that sets a field of the input. Null if the message suffices. */
export type NameField = (field: string) => string | null;

/** Returns the result of an operation. Throws CommandError with its issues, or its message, if it is an error. */
export function requireResult<Result extends object>(
  result: Result | Refusal,
  nameField: NameField = () => null,
): Exclude<Result, Refusal> {
  if ('message' in result) throw toCommandError(result, nameField);
  return result as Exclude<Result, Refusal>;
}

/** Returns an error that lists the issues after `outcome`, or has the message of a result without issues. */
export function toCommandError(
  { message, issues = [], issueCount = issues.length }: Refusal,
  nameField: NameField,
  outcome: string | null = null,
): CommandError {
  if (issues.length === 0) return new CommandError(replaceControlCharacters(message));
  const lines = issues.map((issue) => replaceControlCharacters(formatIssue(issue, nameField)));
  const more = issueCount > issues.length ? [`and ${issueCount - issues.length} more`] : [];
  return new CommandError([...(outcome === null ? [] : [outcome]), ...lines, ...more].join('\n'));
}

function formatIssue({ path: [, field, ...rest], message }: Issue, nameField: NameField): string {
  const name = field === undefined ? null : nameField(field);
  // A number counts from 0 and is followed by the name of a field, as in the path of the API.
  return name === null ? message : `${[name, ...rest].join('.')}: ${message}`;
}
