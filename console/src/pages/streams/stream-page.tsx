import { Button, Group, Stack, Text } from '@mantine/core';
import { Link, NavLink, Outlet, useOutletContext, useParams } from 'react-router';
import { useQuery } from 'urql';
import { useAction } from '../../api/use-action.ts';
import { useCan } from '../../api/viewer.ts';
import { Ago } from '../../ui/ago.tsx';
import { useConfirm } from '../../ui/confirm.tsx';
import { NotFound } from '../../ui/error-boundary.tsx';
import { Facts } from '../../ui/facts.tsx';
import { notifyDone } from '../../ui/notify.ts';
import { Page } from '../../ui/page.tsx';
import { Empty, Loaded, ProblemAlert } from '../../ui/states.tsx';
import { useVisit } from '../../ui/use-visit.ts';
import './streams.css';
import { Bucket, CompleteThrough, GRANULARITY_NAMES } from './stream-parts.tsx';
import { DELETE_STREAM, READ_STREAM, type Stream } from './streams-documents.ts';

/** Returns the stream of the page. */
export function useStream(): Stream {
  return useOutletContext<Stream>();
}

/** The frame of the pages of a stream: what it is, and links to usage, records and ledger. */
export function StreamPage() {
  const { name = '' } = useParams();
  const isReader = useCan('READ');
  const query = useQuery({ query: READ_STREAM, variables: { name }, pause: !isReader });
  if (!isReader) {
    return (
      <Page title={name}>
        <Empty title="Your key cannot read streams">Sign in with a key that has the scope READ.</Empty>
      </Page>
    );
  }
  return (
    <Loaded query={query} what="the stream">
      {({ stream }) => (stream === null ? <NotFound what="stream" /> : <StreamFrame key={stream.id} stream={stream} />)}
    </Loaded>
  );
}

const VIEWS = [
  { to: '', title: 'Usage' },
  { to: 'records', title: 'Records' },
  { to: 'ledger', title: 'Ledger' },
] as const;

function StreamFrame({ stream }: { readonly stream: Stream }) {
  const { name, granularity, dimensions, firstTimestamp, lastTimestamp, lastOperationAt } = stream;
  const isWriter = useCan('INGEST');
  const isAdmin = useCan('ADMIN');
  const address = `/streams/${name}`;
  const { remove, problem } = useDelete(stream);
  return (
    <Page
      title={name}
      parents={[{ title: 'Streams', to: '/streams' }]}
      actions={
        <>
          {isWriter && (
            <Button component={Link} to={`${address}/correct`} variant="default">
              Correct a value
            </Button>
          )}
          {isAdmin && (
            <Button variant="default" onClick={() => void remove()}>
              Delete
            </Button>
          )}
        </>
      }
    >
      <ProblemAlert problem={problem} />
      <div className="stream-facts">
        <Facts
          facts={[
            { name: 'Granularity', value: GRANULARITY_NAMES[granularity] },
            { name: 'Dimensions', value: dimensions.join(', ') || 'None' },
            { name: 'First bucket', value: <Bucket start={firstTimestamp} granularity={granularity} /> },
            { name: 'Last bucket', value: <Bucket start={lastTimestamp} granularity={granularity} /> },
            { name: 'Complete through', value: <CompleteThrough stream={stream} /> },
            { name: 'Last operation', value: <Ago value={lastOperationAt} /> },
          ]}
        />
      </div>
      <Group component="nav" gap="xs" aria-label={`Views of ${name}`} className="stream-views">
        {VIEWS.map(({ to, title }) => (
          <NavLink key={to} to={to === '' ? address : `${address}/${to}`} end>
            {title}
          </NavLink>
        ))}
      </Group>
      <Outlet context={stream} />
    </Page>
  );
}

/** Deletes the stream after a confirmation that names what it destroys. */
function useDelete({ name, firstTimestamp, lastTimestamp, granularity }: Stream) {
  const confirm = useConfirm();
  const begin = useVisit();
  const { run, problem } = useAction(DELETE_STREAM);
  const remove = async (): Promise<void> => {
    const show = begin();
    const isConfirmed = await confirm({
      title: `Delete ${name}?`,
      body: (
        <Stack gap="xs">
          <Text>
            {firstTimestamp === null || lastTimestamp === null ? (
              <>The stream {name} has no live records.</>
            ) : (
              <>
                All records of the stream {name}, from <Bucket start={firstTimestamp} granularity={granularity} /> to{' '}
                <Bucket start={lastTimestamp} granularity={granularity} />, are hidden. This cannot be undone.
              </>
            )}{' '}
            Its name becomes free, and its ledger is kept.
          </Text>
          <Text>Jobs that read the stream deliver recent windows again without its rows.</Text>
        </Stack>
      ),
      action: 'Delete stream',
      isDestructive: true,
    });
    if (isConfirmed && (await run({ name })) !== null) {
      notifyDone(`The stream ${name} was deleted.`);
      show('/streams');
    }
  };
  return { remove, problem };
}
