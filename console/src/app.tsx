import { MantineProvider } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import { useMemo, useSyncExternalStore } from 'react';
import { createBrowserRouter, type RouteObject } from 'react-router';
import { RouterProvider } from 'react-router/dom';
import type { Addresses } from './api/address.ts';
import type { Session } from './api/session.ts';
import { NotFound, PageError } from './ui/error-boundary.tsx';
import { readNonce } from './shell/nonce.ts';
import { Shell } from './shell/shell.tsx';
import { SignedIn } from './shell/signed-in.tsx';
import { SignIn } from './shell/sign-in.tsx';
import { resolveColours, THEME } from './theme.ts';

/** The addresses of the console. Each page is loaded when it is opened. */
const ROUTES: RouteObject[] = [
  {
    Component: Shell,
    children: [
      {
        ErrorBoundary: PageError,
        HydrateFallback: () => null,
        children: [
          {
            index: true,
            lazy: async () => ({ Component: (await import('./pages/overview/overview-page.tsx')).OverviewPage }),
          },
          {
            path: 'streams',
            lazy: async () => ({ Component: (await import('./pages/streams/streams-page.tsx')).StreamsPage }),
          },
          {
            path: 'streams/:name',
            lazy: async () => ({ Component: (await import('./pages/streams/stream-page.tsx')).StreamPage }),
            children: [
              {
                index: true,
                lazy: async () => ({ Component: (await import('./pages/streams/usage-view.tsx')).UsageView }),
              },
              {
                path: 'records',
                lazy: async () => ({ Component: (await import('./pages/streams/records-view.tsx')).RecordsView }),
              },
              {
                path: 'ledger',
                lazy: async () => ({ Component: (await import('./pages/streams/ledger-view.tsx')).LedgerView }),
              },
              {
                path: 'correct',
                lazy: async () => ({ Component: (await import('./pages/streams/correct-view.tsx')).CorrectView }),
              },
            ],
          },
          { path: 'jobs', lazy: async () => ({ Component: (await import('./pages/jobs/jobs-page.tsx')).JobsPage }) },
          {
            path: 'jobs/new',
            lazy: async () => ({ Component: (await import('./pages/jobs/job-form-page.tsx')).JobFormPage }),
          },
          {
            path: 'jobs/:id/edit',
            lazy: async () => ({ Component: (await import('./pages/jobs/job-form-page.tsx')).JobFormPage }),
          },
          {
            path: 'jobs/:id/backfills/new',
            lazy: async () => ({ Component: (await import('./pages/job/backfill-form-page.tsx')).BackfillFormPage }),
          },
          {
            path: 'jobs/:id/deliveries/:deliveryId',
            lazy: async () => ({ Component: (await import('./pages/job/delivery-page.tsx')).DeliveryPage }),
          },
          {
            path: 'jobs/:id/runs/:runId',
            lazy: async () => ({ Component: (await import('./pages/job/run-page.tsx')).RunPage }),
          },
          {
            path: 'jobs/:id/:view?',
            lazy: async () => ({ Component: (await import('./pages/job/job-page.tsx')).JobPage }),
          },
          { path: 'keys', lazy: async () => ({ Component: (await import('./pages/keys/keys-page.tsx')).KeysPage }) },
          {
            path: 'docs/*',
            lazy: async () => {
              const { DocsPage, loadDocsPage } = await import('./pages/docs/docs-page.tsx');
              return { Component: DocsPage, loader: loadDocsPage };
            },
          },
          { path: '*', Component: NotFound },
        ],
      },
    ],
  },
];

export interface AppProps {
  readonly session: Session;
  readonly addresses: Addresses;
}

/** The console: the sign-in, or the page of the address. */
export function App({ session, addresses }: AppProps) {
  const { key, reason } = useSyncExternalStore(session.listen, session.read);
  const router = useMemo(() => createBrowserRouter(ROUTES, { basename: addresses.basename }), [addresses]);
  const endpoint = `${addresses.server}graphql`;
  return (
    <MantineProvider
      theme={THEME}
      cssVariablesResolver={resolveColours}
      defaultColorScheme="auto"
      getStyleNonce={readNonce}
    >
      <Notifications position="bottom-right" />
      {key === null ? (
        <SignIn endpoint={endpoint} reason={reason} onSignIn={session.signIn} />
      ) : (
        <SignedIn key={key} sessionKey={key} session={session} addresses={addresses} endpoint={endpoint}>
          <RouterProvider router={router} />
        </SignedIn>
      )}
    </MantineProvider>
  );
}
