import { Alert, Code, Group, Stack, Text } from '@mantine/core';
import type { ReactNode } from 'react';
import { CopyButton } from '../../ui/copy.tsx';
import { splitPolicy } from './run-words.ts';

interface RunFailureProps {
  readonly title: string;
  readonly error: { readonly code?: string | null; readonly message: string; readonly retryable?: boolean };
  /** Whether the run is retried. */
  readonly isRetried?: boolean;
  /** What to do, such as a link to the settings of the job. */
  readonly children?: ReactNode;
}

/** The error of a run in full, with the bucket policy to attach if it contains one. */
export function RunFailure({ title, error, isRetried = false, children }: RunFailureProps) {
  const { message, policy } = splitPolicy(error.message);
  return (
    <Alert color={isRetried ? 'orange' : 'red'} role="alert" variant="light" title={title}>
      <Stack gap="sm" align="flex-start">
        <Text className="breakable" maw="75ch">
          {message}
        </Text>
        {policy !== null && (
          <Stack gap="xs" w="100%">
            <Group justify="space-between">
              <Text fw={600}>Bucket policy to attach</Text>
              <CopyButton text={policy} name="policy" />
            </Group>
            <Code block className="policy" tabIndex={0} aria-label="Bucket policy to attach">
              {policy}
            </Code>
          </Stack>
        )}
        {error.code && (
          <Text size="sm">
            Error code <code>{error.code}</code>.{' '}
            {error.retryable === true ? 'A retry can succeed without a change.' : ''}
            {error.retryable === false ? 'A retry fails again until the cause is corrected.' : ''}
          </Text>
        )}
        {children}
      </Stack>
    </Alert>
  );
}
