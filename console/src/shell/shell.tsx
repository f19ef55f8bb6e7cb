import { AppShell, Burger, Divider, Group, NavLink } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useEffect } from 'react';
import { Link, Outlet, ScrollRestoration, useLocation } from 'react-router';
import { useConnection } from '../api/connection.ts';
import { useSession } from '../api/session-context.ts';
import { useCan } from '../api/viewer.ts';
import { Status } from '../ui/status.tsx';
import { AccountMenu } from './account-menu.tsx';

const MAIN = 'main';

/** Whether the server serves a page that the console links to. */
function isServed(page: 'graphiql' | 'docs'): boolean {
  const pages = document.querySelector<HTMLMetaElement>('meta[name="sluice-pages"]')?.content ?? '';
  return pages.split(' ').includes(page);
}

/** The frame of all pages: header, navigation and the page. */
export function Shell() {
  const [isOpen, menu] = useDisclosure(false);
  const { pathname } = useLocation();
  const { addresses } = useSession();
  const { isUp } = useConnection();
  const isAdmin = useCan('ADMIN');
  const isReader = useCan('READ');
  const close = menu.close;
  useEffect(() => close(), [pathname, close]);
  const entries = [
    ...(isReader
      ? [
          { to: '/', label: 'Overview' },
          { to: '/streams', label: 'Streams' },
          { to: '/jobs', label: 'Jobs' },
        ]
      : []),
    ...(isAdmin ? [{ to: '/keys', label: 'Keys' }] : []),
  ];
  return (
    <AppShell
      header={{ height: 60 }}
      navbar={{ width: 220, breakpoint: 'sm', collapsed: { mobile: !isOpen } }}
      padding={{ base: 'md', sm: 'xl' }}
      transitionDuration={0}
    >
      <a className="skip" href={`#${MAIN}`} onClick={(event) => skipToMain(event)}>
        Skip to the page
      </a>
      <AppShell.Header px="md">
        <Group h="100%" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap">
            <Burger
              opened={isOpen}
              onClick={menu.toggle}
              hiddenFrom="sm"
              size="sm"
              aria-label="Navigation"
              aria-expanded={isOpen}
            />
            <Link to="/" className="brand">
              <img src="icon.svg" alt="" width={26} height={26} />
              Sluice
            </Link>
          </Group>
          <Group gap="sm" wrap="nowrap">
            <div role="status">{!isUp && <Status tone="waiting">Connecting …</Status>}</div>
            <AccountMenu />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar className="pages" data-open={isOpen} p="sm" aria-label="Pages">
        {entries.map((entry) => (
          <PageLink key={entry.to} {...entry} />
        ))}
        <Divider my="sm" />
        {isServed('graphiql') && <NavLink href={`${addresses.server}graphql`} label="GraphiQL" />}
        {isServed('docs') && <NavLink href={`${addresses.server}docs`} label="REST reference" />}
        <PageLink to="/docs" label="Documentation" />
      </AppShell.Navbar>
      <AppShell.Main id={MAIN} tabIndex={-1}>
        <div className="content">
          <Outlet />
        </div>
      </AppShell.Main>
      <ScrollRestoration />
    </AppShell>
  );
}

/** The entry of a page in the navigation. */
function PageLink({ to, label }: { readonly to: string; readonly label: string }) {
  const { pathname } = useLocation();
  const isActive = pathname === to || (to !== '/' && pathname.startsWith(`${to}/`));
  return (
    <NavLink component={Link} to={to} label={label} active={isActive} aria-current={isActive ? 'page' : undefined} />
  );
}

/** A link to a fragment would leave the page, because its base address is that of the console. */
function skipToMain(event: { preventDefault(): void }): void {
  event.preventDefault();
  document.querySelector<HTMLElement>(`#${MAIN}`)?.focus();
}
