import { Alert, Box, Button, Center, Paper, PasswordInput, Stack, Text, Title } from '@mantine/core';
import { type FormEvent, useEffect, useState } from 'react';
import { checkKey } from '../api/viewer.ts';

interface SignInProps {
  readonly endpoint: string;
  /** Why the last session ended; null if there was none. */
  readonly reason: string | null;
  readonly onSignIn: (key: string) => void;
}

/** Asks for an API key at the address that the user opened, and returns to it. */
export function SignIn({ endpoint, reason, onSignIn }: SignInProps) {
  const [key, setKey] = useState('');
  const [error, setError] = useState<string | null>(null);
  const [isChecking, setChecking] = useState(false);
  useEffect(() => {
    document.title = 'Sign in · Sluice';
  }, []);

  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    const candidate = key.trim();
    if (candidate === '') {
      setError('Paste an API key.');
      return;
    }
    setChecking(true);
    const check = await checkKey(endpoint, candidate);
    setChecking(false);
    if (check.kind === 'accepted') onSignIn(candidate);
    else setError(check.kind === 'refused' ? 'The key is unknown or was revoked.' : check.message);
  };

  return (
    <Center component="main" mih="100vh" p="md" bg="var(--page-ground)">
      <Paper withBorder p="xl" w="100%" maw={440}>
        <form onSubmit={(event) => void submit(event)} noValidate>
          <Stack>
            <Box className="brand">
              <img src="icon.svg" alt="" width={28} height={28} />
              <Title order={1}>Sign in to Sluice</Title>
            </Box>
            {reason !== null && (
              <Alert color="orange" role="alert" title={reason}>
                Sign in with another key to return to this page.
              </Alert>
            )}
            <PasswordInput
              label="API key"
              description="It stays in this browser and is forgotten when its tabs are closed."
              value={key}
              onChange={({ currentTarget }) => {
                setKey(currentTarget.value);
                setError(null);
              }}
              error={error}
              aria-invalid={error !== null}
              autoComplete="off"
              spellCheck={false}
              visibilityToggleButtonProps={{ 'aria-label': 'Show the key' }}
              data-autofocus
              autoFocus
            />
            <Button type="submit" loading={isChecking}>
              Sign in
            </Button>
            <Text size="sm" c="dimmed">
              In local mode, the terminal shows a link that signs in. Otherwise <code>sluice key create</code> prints a
              key.
            </Text>
          </Stack>
        </form>
      </Paper>
    </Center>
  );
}
