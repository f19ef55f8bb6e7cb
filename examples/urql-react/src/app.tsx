import { useMemo, useState } from 'react';
import { Provider, useQuery } from 'urql';
import { createUrqlClient } from './client.ts';
import { type Connection, createConnection } from './connection.ts';
import { JobsTable } from './jobs-table.tsx';
import { KeyForm } from './key-form.tsx';
import { WHO_AM_I } from './operations.ts';
import { formatError } from './format.ts';

/** Key of sessionStorage, which ends with the tab. An API key does not belong in localStorage. */
const STORAGE_KEY = 'sluice-key';

export const App = () => {
  const [key, setKey] = useState(() => sessionStorage.getItem(STORAGE_KEY));
  const opened = useMemo(() => {
    if (key === null) return null;
    const connection = createConnection();
    return { connection, client: createUrqlClient(key, connection) };
  }, [key]);

  const enter = (entered: string) => {
    sessionStorage.setItem(STORAGE_KEY, entered);
    setKey(entered);
  };
  const leave = () => {
    sessionStorage.removeItem(STORAGE_KEY);
    setKey(null);
  };

  if (!opened) return <KeyForm onEnter={enter} />;
  return (
    <Provider value={opened.client}>
      <Workspace connection={opened.connection} onEnter={enter} onLeave={leave} />
    </Provider>
  );
};

interface WorkspaceProps {
  connection: Connection;
  onEnter: (key: string) => void;
  onLeave: () => void;
}

const Workspace = ({ connection, onEnter, onLeave }: WorkspaceProps) => {
  const [{ data, error }, refetch] = useQuery({ query: WHO_AM_I });

  if (error?.graphQLErrors.some(({ extensions }) => extensions['code'] === 'UNAUTHENTICATED')) {
    return <KeyForm onEnter={onEnter} problem={formatError(error)} />;
  }
  return (
    <>
      <header className="bar">
        <h1>Exports</h1>
        {data && (
          <p>
            {data.viewer.accountName} · {data.viewer.key.name}
          </p>
        )}
        <button type="button" className="quiet" onClick={onLeave}>
          Forget key
        </button>
      </header>
      <main>
        {error && (
          <p className="problem" role="alert">
            {formatError(error)}{' '}
            <button type="button" className="quiet" onClick={() => refetch({ requestPolicy: 'network-only' })}>
              Try again
            </button>
          </p>
        )}
        {data && <JobsTable connection={connection} />}
      </main>
    </>
  );
};
