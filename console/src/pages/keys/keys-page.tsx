import { Button, Stack, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQuery } from 'urql';
import { useAction } from '../../api/use-action.ts';
import { useCan, useViewer } from '../../api/viewer.ts';
import { useConfirm } from '../../ui/confirm.tsx';
import { CopyableText } from '../../ui/copy.tsx';
import { type Column, DataTable } from '../../ui/data-table.tsx';
import { Time } from '../../ui/figures.tsx';
import { useListAddress } from '../../ui/list-address.ts';
import { Pager, Search } from '../../ui/list.tsx';
import { notifyDone } from '../../ui/notify.ts';
import { Page } from '../../ui/page.tsx';
import { Empty, Loaded, ProblemAlert } from '../../ui/states.tsx';
import { Status } from '../../ui/status.tsx';
import { CreateKeyDialog } from './create-key-dialog.tsx';
import { type Key, LIST_KEYS, REVOKE_KEY } from './keys-documents.ts';
import { describeScopes } from './scopes.ts';

const PAGE_SIZE = 20;

/** The keys of the account: list, create, revoke. */
export function KeysPage() {
  const isAdmin = useCan('ADMIN');
  if (isAdmin) return <KeyList />;
  return (
    <Page title="Keys">
      <Empty title="Your key cannot list keys">Sign in with a key that has the scope ADMIN.</Empty>
    </Page>
  );
}

function KeyList() {
  const list = useListAddress();
  const variables = { first: PAGE_SIZE, after: list.after, search: list.search || null };
  const query = useQuery({ query: LIST_KEYS, variables });
  const [isCreating, dialog] = useDisclosure(false);
  const { revoke, problem } = useRevoke();
  const columns: Column<Key>[] = [
    { title: 'Name', isHeading: true, cell: ({ name }) => <span className="breakable">{name}</span> },
    { title: 'Begins with', cell: ({ prefix }) => <code>{prefix}…</code> },
    // All ids begin alike.
    {
      title: 'Id',
      cell: ({ id, name }) => <CopyableText text={id} name={`id of ${name}`} shown={`…${id.slice(-8)}`} />,
    },
    { title: 'Scopes', cell: ({ scopes }) => scopes.join(', ') },
    { title: 'Created', cell: ({ createdAt }) => <Time value={createdAt} /> },
    { title: 'Last used', cell: ({ lastUsedAt }) => (lastUsedAt === null ? 'Never' : <Time value={lastUsedAt} />) },
    {
      title: 'State',
      cell: ({ revokedAt }) =>
        revokedAt === null ? <Status tone="good">Valid</Status> : <Status tone="neutral">Revoked</Status>,
    },
    {
      title: 'Actions',
      cell: (key) =>
        key.revokedAt === null && (
          <Button variant="default" size="xs" aria-label={`Revoke ${key.name}`} onClick={() => void revoke(key)}>
            Revoke
          </Button>
        ),
    },
  ];
  return (
    <Page
      title="Keys"
      description="Programs and people use keys to call the API. A key has one account and the scopes that it was created with."
      actions={<Button onClick={dialog.open}>Create key</Button>}
    >
      <Search list={list} what="keys" />
      <ProblemAlert problem={problem} />
      <Loaded query={query} variables={variables} what="keys">
        {({ apiKeys: { edges, pageInfo } }) =>
          edges.length === 0 ? (
            <Empty title="No key matches">No key of this account contains “{list.search}” in its name.</Empty>
          ) : (
            <>
              <DataTable label="Keys" rows={edges.map(({ node }) => node)} columns={columns} rowKey={({ id }) => id} />
              <Pager list={list} pageInfo={pageInfo} />
            </>
          )
        }
      </Loaded>
      <CreateKeyDialog isOpen={isCreating} onClose={dialog.close} />
    </Page>
  );
}

function useRevoke() {
  const confirm = useConfirm();
  const viewer = useViewer();
  const { run, problem } = useAction(REVOKE_KEY);
  const revoke = async (key: Key): Promise<void> => {
    const isOwn = key.id === viewer.key.id;
    const isConfirmed = await confirm({
      title: `Revoke ${key.name}?`,
      body: (
        <Stack gap="xs">
          <Text>
            Programs that use the key {key.name} ({key.prefix}…) are rejected within a second. They can no longer:
          </Text>
          <ul className="issues">
            {describeScopes(key.scopes).map((allows) => (
              <li key={allows}>{allows}</li>
            ))}
          </ul>
          <Text>A revoked key cannot be restored.{isOwn && ' This is your own key: you will be signed out.'}</Text>
        </Stack>
      ),
      action: 'Revoke key',
      isDestructive: true,
    });
    if (isConfirmed && (await run({ id: key.id })) !== null) notifyDone(`The key ${key.name} was revoked.`);
  };
  return { revoke, problem };
}
