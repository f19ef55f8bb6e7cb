import { Button } from '@mantine/core';
import { useState } from 'react';
import { Link, useParams, useSearchParams } from 'react-router';
import { useQuery } from 'urql';
import { useCan } from '../../api/viewer.ts';
import { NotFound } from '../../ui/error-boundary.tsx';
import { BROWSER_ZONE } from '../../ui/figures.tsx';
import { Page } from '../../ui/page.tsx';
import { Empty, Loaded } from '../../ui/states.tsx';
import { JobForm } from './job-form.tsx';
import { copyValues, createValues, readValues } from './job-values.ts';
import { READ_JOB } from './jobs-documents.ts';
import { useDeleteJob } from '../../ui/use-delete-job.tsx';
import { useVisit } from '../../ui/use-visit.ts';
import './jobs.css';

const JOBS = { title: 'Jobs', to: '/jobs' };

/** Creates a job, also as a copy of another one, or edits a job. */
export function JobFormPage() {
  const { id } = useParams();
  const [parameters] = useSearchParams();
  const from = parameters.get('from');
  const canChange = useCan('JOBS');
  if (!canChange) {
    return (
      <Page title="Job form" parents={[JOBS]}>
        <Empty title="Your key cannot create or change jobs">Sign in with a key that has the scope JOBS.</Empty>
      </Page>
    );
  }
  if (id !== undefined) return <EditJob key={id} id={id} />;
  if (from !== null) return <CopyJob key={from} id={from} />;
  return (
    <Page title="Create a job" parents={[JOBS]}>
      <JobForm initial={createValues(BROWSER_ZONE)} stored={null} />
    </Page>
  );
}

interface IdProps {
  readonly id: string;
}

function CopyJob({ id }: IdProps) {
  const [now] = useState(() => Date.now());
  // The form takes the settings once: they must be the newest ones, not those that the cache has.
  const query = useQuery({ query: READ_JOB, variables: { id }, requestPolicy: 'network-only' });
  return (
    <Loaded query={query} what="job">
      {({ job }) =>
        job === null ? (
          <NotFound what="job" />
        ) : (
          <Page title={`Duplicate ${job.jobName}`} parents={[JOBS]}>
            <JobForm initial={copyValues(job, now)} stored={null} />
          </Page>
        )
      }
    </Loaded>
  );
}

function EditJob({ id }: IdProps) {
  // The version must be the newest one, not one that the cache has.
  const query = useQuery({ query: READ_JOB, variables: { id }, requestPolicy: 'network-only' });
  const begin = useVisit();
  const deleteJob = useDeleteJob();
  return (
    <Loaded query={query} what="job">
      {({ job }) =>
        job === null ? (
          <NotFound what="job" />
        ) : (
          <Page
            title={`Edit ${job.jobName}`}
            parents={[JOBS, { title: job.jobName, to: `/jobs/${id}` }]}
            actions={
              <>
                <Button component={Link} to={`/jobs/new?from=${id}`} variant="default">
                  Duplicate
                </Button>
                <Button
                  variant="default"
                  onClick={() => {
                    const show = begin();
                    void deleteJob(job).then((isDeleted) => isDeleted && show('/jobs'));
                  }}
                >
                  Delete …
                </Button>
              </>
            }
          >
            <JobForm initial={readValues(job)} stored={job} />
          </Page>
        )
      }
    </Loaded>
  );
}
