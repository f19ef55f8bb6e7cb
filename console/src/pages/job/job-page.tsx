import { Alert, Tabs, Text } from '@mantine/core';
import { useNavigate, useParams } from 'react-router';
import { useQuery } from 'urql';
import { NotFound } from '../../ui/error-boundary.tsx';
import { Page } from '../../ui/page.tsx';
import { Loaded } from '../../ui/states.tsx';
import { Status } from '../../ui/status.tsx';
import { JobActions } from './job-actions.tsx';
import { JobBackfills } from './job-backfills.tsx';
import { JobDeliveries } from './job-deliveries.tsx';
import { type Job, READ_JOB } from './job-documents.ts';
import { JobFacts } from './job-facts.tsx';
import { JobOverview } from './job-overview.tsx';
import { JobRuns } from './job-runs.tsx';
import { JobSettings } from './job-settings.tsx';
import './job.css';
import { JobVersion, useLiveRuns, useReadAgain } from './use-live-runs.ts';

const VIEWS = ['overview', 'runs', 'deliveries', 'backfills', 'settings'] as const;
type View = (typeof VIEWS)[number];

const TITLES: Readonly<Record<View, string>> = {
  overview: 'Overview',
  runs: 'Runs',
  deliveries: 'Deliveries',
  backfills: 'Backfills',
  settings: 'Settings',
};

/** One job: what it delivers, its runs, deliveries, backfills and settings. */
export function JobPage() {
  const { id = '', view = 'overview' } = useParams();
  const known = VIEWS.find((one) => one === view);
  if (known === undefined) return <NotFound />;
  return <LiveJob key={id} id={id} view={known} />;
}

interface ViewProps {
  readonly id: string;
  readonly view: View;
}

/** Follows the runs of the job, so that everything below it is read again when one of them changes. */
function LiveJob({ id, view }: ViewProps) {
  const { updates, version } = useLiveRuns(id);
  return (
    <JobVersion value={version}>
      <JobView id={id} view={view} updates={updates} />
    </JobVersion>
  );
}

interface JobViewProps extends ViewProps {
  readonly updates: ReturnType<typeof useLiveRuns>['updates'];
}

function JobView({ id, view, updates }: JobViewProps) {
  const query = useQuery({ query: READ_JOB, variables: { id } });
  useReadAgain(query[1]);
  const job = query[0].data?.job;
  if (job === null) return <NotFound what="job" />;
  if (job === undefined) {
    return (
      <Page title="Job" parents={[{ title: 'Jobs', to: '/jobs' }]}>
        <Loaded query={query} what="the job">
          {() => null}
        </Loaded>
      </Page>
    );
  }
  return (
    <Page
      title={job.jobName}
      description={job.description}
      parents={[{ title: 'Jobs', to: '/jobs' }]}
      actions={<JobActions job={job} />}
    >
      {!job.enabled && (
        <div>
          <Status tone="neutral">Disabled: the schedule starts no runs</Status>
        </div>
      )}
      <JobWarnings job={job} />
      <JobFacts job={job} />
      <JobTabs id={id} view={view} />
      <Loaded query={query} what="the job">
        {() => {
          switch (view) {
            case 'overview':
              return <JobOverview job={job} updates={updates} />;
            case 'runs':
              return <JobRuns job={job} updates={updates} />;
            case 'deliveries':
              return <JobDeliveries job={job} />;
            case 'backfills':
              return <JobBackfills job={job} />;
            case 'settings':
              return <JobSettings job={job} />;
          }
        }}
      </Loaded>
    </Page>
  );
}

function JobWarnings({ job: { warnings } }: { readonly job: Job }) {
  if (warnings.length === 0) return null;
  return (
    <Alert color="orange" variant="light" title={warnings.length === 1 ? 'Warning' : `${warnings.length} warnings`}>
      {warnings.map((warning) => (
        <Text key={warning} className="breakable">
          {warning}
        </Text>
      ))}
    </Alert>
  );
}

function JobTabs({ id, view }: ViewProps) {
  const navigate = useNavigate();
  return (
    <Tabs
      value={view}
      onChange={(next) =>
        void navigate(next === 'overview' ? `/jobs/${id}` : `/jobs/${id}/${next}`, { preventScrollReset: true })
      }
      activateTabWithKeyboard={false}
      className="job-tabs"
    >
      <Tabs.List aria-label="Parts of the job">
        {VIEWS.map((one) => (
          <Tabs.Tab key={one} value={one}>
            {TITLES[one]}
          </Tabs.Tab>
        ))}
      </Tabs.List>
    </Tabs>
  );
}
