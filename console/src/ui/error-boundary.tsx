import { Button, Code, Stack, Text } from '@mantine/core';
import { Link, useRouteError } from 'react-router';
import { Page } from './page.tsx';

/** Shown if a page throws. */
export function PageError() {
  const error = useRouteError();
  return (
    <Page title="This page failed">
      <Stack align="flex-start">
        <Text>The error is one of the console, not of your data. Reload the page to try again.</Text>
        <Code block>{error instanceof Error ? error.message : String(error)}</Code>
        <Button variant="default" onClick={() => location.reload()}>
          Reload
        </Button>
      </Stack>
    </Page>
  );
}

/** Shown at addresses without a page, and for objects that do not exist. */
export function NotFound({ what = 'page' }: { readonly what?: string }) {
  return (
    <Page title={`This ${what} does not exist`}>
      <Stack align="flex-start">
        <Text>Check the address. The {what} may have been deleted, or it belongs to another account.</Text>
        <Button component={Link} to="/" variant="default">
          Overview
        </Button>
      </Stack>
    </Page>
  );
}
