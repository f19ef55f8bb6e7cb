import { Alert, Button, Center, Loader, Stack, Text, Title } from '@mantine/core';
import { createContext, type ReactNode, use } from 'react';
import { type AnyVariables, stringifyVariables, type UseQueryResponse } from 'urql';
import { describeError, listOtherIssues, type Problem } from '../api/problem.ts';

/** Shown while the first data of a page loads. */
export function Loading({ what = 'data' }: { readonly what?: string }) {
  return (
    <Center mih={160} role="status" aria-label={`Loading ${what}`}>
      <Loader size="sm" />
    </Center>
  );
}

interface EmptyProps {
  readonly title: string;
  /** What to do, such as the commands that add the first item. */
  readonly children?: ReactNode;
  readonly action?: ReactNode;
}

/** Whether the data is that of an earlier choice, while that of the current one is read. */
const EarlierContext = createContext(false);

/** Shown instead of a list without items. While other items are read, it is not known whether there are any. */
export function Empty({ title, children, action }: EmptyProps) {
  if (use(EarlierContext)) return <Loading />;
  return (
    <Stack className="empty" align="center" gap="xs">
      <Title order={2} size="h3">
        {title}
      </Title>
      {children !== undefined && (
        <Text c="dimmed" component="div" ta="center" maw={560}>
          {children}
        </Text>
      )}
      {action}
    </Stack>
  );
}

interface ProblemAlertProps {
  readonly problem: Problem | null;
  /** Fields of the form: their issues are shown at them. All others are listed here. */
  readonly fields?: readonly string[];
  readonly onRetry?: () => void;
}

/** The message of a problem, and the issues that belong to no field. Renders nothing without a problem. */
export function ProblemAlert({ problem, fields = [], onRetry }: ProblemAlertProps) {
  if (problem === null) return null;
  const others = listOtherIssues(problem, fields);
  // The message of a single issue is that of the issue, and its field shows it.
  if (others.length === 0 && Object.values(problem.issues).includes(problem.message)) return null;
  return (
    <Alert color="red" role="alert" variant="light" title={problem.message}>
      {others.length > 0 && (
        <ul className="issues">
          {others.map((issue) => (
            <li key={issue}>{issue}</li>
          ))}
        </ul>
      )}
      {onRetry && (
        <Button variant="default" size="xs" onClick={onRetry}>
          Try again
        </Button>
      )}
    </Alert>
  );
}

interface LoadedProps<Data, Variables extends AnyVariables> {
  /** What useQuery() returned. */
  readonly query: UseQueryResponse<Data, Variables>;
  /** The variables of the query, if a choice on the page changes them. */
  readonly variables?: Variables;
  /** What loads, such as `jobs`. */
  readonly what: string;
  /** `isEarlier` is true while the data is that of other variables. */
  readonly children: (data: Data, isEarlier: boolean) => ReactNode;
}

/**
 * Renders the data of a query, or its loading or error state. Data stays on the page while it is read again or if that fails. It also stays,
 * dimmed, while that of other variables is read.
 */
export function Loaded<Data, Variables extends AnyVariables>(props: LoadedProps<Data, Variables>) {
  const { query, variables, what, children } = props;
  const [{ data, error, fetching, operation }, read] = query;
  const problem = describeError(error);
  const alert = <ProblemAlert problem={problem} onRetry={() => read({ requestPolicy: 'network-only' })} />;
  if (data === undefined || data === null) return problem ? alert : <Loading what={what} />;
  const isEarlier =
    fetching &&
    variables !== undefined &&
    stringifyVariables(operation?.variables ?? {}) !== stringifyVariables(variables);
  return (
    <div className="loaded" aria-busy={isEarlier}>
      {alert}
      <EarlierContext value={isEarlier}>{children(data, isEarlier)}</EarlierContext>
    </div>
  );
}
