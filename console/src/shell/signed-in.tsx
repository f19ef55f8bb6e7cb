import { Button, Center, Stack } from '@mantine/core';
import { type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { Provider } from 'urql';
import { createClient } from '../api/client.ts';
import { SessionContext, type SessionParts } from '../api/session-context.ts';
import { checkKey, type KeyCheck, ViewerContext } from '../api/viewer.ts';
import { ConfirmProvider } from '../ui/confirm.tsx';
import { Loading, ProblemAlert } from '../ui/states.tsx';

/** How often an open page asks whether its key is still valid, also when the user returns to it. */
const CHECK_MS = 60_000;
const REVOKED = 'The server no longer accepts your key. It was revoked.';
const UNKNOWN = 'The server does not accept this key. It is unknown or was revoked.';

interface SignedInProps extends SessionParts {
  readonly sessionKey: string;
  readonly endpoint: string;
  readonly children: ReactNode;
}

/** Renders its children with the client and the viewer of a key. */
export function SignedIn({ sessionKey, endpoint, session, addresses, children }: SignedInProps) {
  const [answer, setAnswer] = useState<KeyCheck | null>(null);
  const onRefused = useCallback(() => session.endSession(sessionKey, REVOKED), [session, sessionKey]);
  const client = useMemo(
    () => createClient({ endpoint, key: sessionKey, onRefused }),
    [endpoint, sessionKey, onRefused],
  );
  const wasAccepted = useRef(false);
  const check = useCallback(async () => {
    const next = await checkKey(endpoint, sessionKey);
    if (next.kind === 'refused') session.endSession(sessionKey, wasAccepted.current ? REVOKED : UNKNOWN);
    // A page that is open stays open while the server restarts.
    else setAnswer((before) => (before?.kind === 'accepted' && next.kind === 'unavailable' ? before : next));
    if (next.kind === 'accepted') wasAccepted.current = true;
  }, [endpoint, sessionKey, session]);
  useEffect(() => {
    void check();
    const whenVisible = (): void => {
      if (document.visibilityState === 'visible') void check();
    };
    const timer = setInterval(whenVisible, CHECK_MS);
    document.addEventListener('visibilitychange', whenVisible);
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', whenVisible);
    };
  }, [check]);
  const parts = useMemo(() => ({ session, addresses }), [session, addresses]);

  if (answer?.kind === 'accepted') {
    return (
      <SessionContext value={parts}>
        <ViewerContext value={answer.viewer}>
          <Provider value={client}>
            <ConfirmProvider>{children}</ConfirmProvider>
          </Provider>
        </ViewerContext>
      </SessionContext>
    );
  }
  return (
    <Center component="main" mih="100vh" p="md">
      {answer?.kind === 'unavailable' ? (
        <Stack>
          <ProblemAlert problem={{ message: answer.message, code: null, issues: {} }} onRetry={() => void check()} />
          <Button variant="subtle" onClick={() => session.signOut()}>
            Sign out
          </Button>
        </Stack>
      ) : (
        <Loading what="the session" />
      )}
    </Center>
  );
}
