// Pure: what went wrong with a request: errors of the network, of GraphQL, and the error types that mutations return.

export interface Problem {
  readonly message: string;
  /** Error code of the API, such as CONFLICT; null if the server could not be asked. */
  readonly code: string | null;
  /**
   * Messages by field, such as `filter.0.values.2`: the paths of the issues without the argument, in the form that Mantine's
   * forms use.
   */
  readonly issues: Readonly<Record<string, string>>;
}

interface Issue {
  readonly path: readonly string[];
  readonly message: string;
}

interface UserError {
  readonly code: string;
  readonly message: string;
  readonly issues?: readonly Issue[];
}

interface RequestError {
  readonly networkError?: Error | undefined;
  readonly graphQLErrors: readonly {
    readonly message: string;
    readonly extensions?: Readonly<Record<string, unknown>> | undefined;
  }[];
}

interface Result {
  readonly data?: object | null | undefined;
  readonly error?: RequestError | undefined;
}

function isUserError(value: unknown): value is UserError {
  return (
    typeof value === 'object' &&
    value !== null &&
    '__typename' in value &&
    String(value.__typename).endsWith('Error') &&
    'code' in value &&
    'message' in value
  );
}

/** Returns the messages of the issues by field. The first path element is the argument. Several at one field are joined. */
function groupIssues(issues: readonly Issue[]): Record<string, string> {
  const grouped: Record<string, string> = {};
  for (const { path, message } of issues) {
    const field = path.slice(1).join('.');
    grouped[field] = grouped[field] === undefined ? message : `${grouped[field]} ${message}`;
  }
  return grouped;
}

/** Returns the problem of a request that failed; null without an error. */
export function describeError(error: RequestError | undefined): Problem | null {
  if (!error) return null;
  const [first] = error.graphQLErrors;
  const code = first?.extensions?.['code'];
  if (first) return { message: first.message, code: typeof code === 'string' ? code : null, issues: {} };
  return { message: 'The server cannot be reached. Check the connection and try again.', code: null, issues: {} };
}

/** Returns the problem of a result: of the request, or the first error type among its fields. Null if it succeeded. */
export function findProblem({ data, error }: Result): Problem | null {
  const failed = describeError(error);
  if (failed) return failed;
  const returned = Object.values(data ?? {}).find(isUserError);
  if (!returned) return null;
  return { message: returned.message, code: returned.code, issues: groupIssues(returned.issues ?? []) };
}

/** Returns the messages of issues that belong to none of the fields, each with the name of its field. */
export function listOtherIssues(problem: Problem | null, fields: readonly string[]): string[] {
  return Object.entries(problem?.issues ?? {})
    .filter(([path]) => !fields.some((field) => path === field || path.startsWith(`${field}.`)))
    .map(([path, message]) => (path === '' ? message : `${path}: ${message}`));
}
