import { Button, Code } from '@mantine/core';
import { Link } from 'react-router';
import { useCan } from '../../api/viewer.ts';
import { CopyableText } from '../../ui/copy.tsx';
import { type Fact, Facts } from '../../ui/facts.tsx';
import { Time } from '../../ui/figures.tsx';
import { Section } from '../../ui/page.tsx';
import type { Job } from './job-documents.ts';

/** All settings of a job. Those that have no effect for it are left out. */
export function JobSettings({ job }: { readonly job: Job }) {
  const mayEdit = useCan('JOBS');
  const { timeZone: zone, rescaleFunction } = job;
  const code = (value: string | null) => (value === null ? null : <code>{value}</code>);
  const content: Fact[] = [
    { name: 'Streams', value: job.meterApiNames === null ? 'All streams' : job.meterApiNames.join(', ') },
    {
      name: 'Grouped by',
      value: job.groupBy === null ? 'Nothing: one row per stream and bucket' : job.groupBy.join(', '),
    },
    { name: 'Bucket', value: job.aggregationBucket },
    {
      name: 'Filter',
      value:
        job.filter?.map(({ dimension, values }) => (
          <div key={dimension} className="breakable">
            {dimension}: {values.join(', ')}
          </div>
        )) ?? null,
    },
    { name: 'Window', value: code(job.range) },
    { name: 'Ends before its slot by', value: code(job.endTimeOffset) },
    { name: 'Last bucket', value: job.minimizeFresh ? 'Only whole buckets' : 'May be partial' },
    { name: 'Empty buckets', value: job.sparse ? 'Have no rows' : 'Have rows with the value 0' },
    {
      name: 'Rescaled by',
      value: rescaleFunction === null ? null : `${rescaleFunction.function} ${rescaleFunction.coefficient}`,
    },
  ];
  const schedule: Fact[] = [
    { name: 'Crontab expression', value: code(job.cron) },
    {
      name: 'Runs once at',
      value:
        job.scheduledTimeInSeconds === null ? null : (
          <Time value={new Date(job.scheduledTimeInSeconds * 1000).toISOString()} zone={zone} />
        ),
    },
    { name: 'Time zone', value: zone },
    { name: 'Enabled', value: job.enabled ? 'Yes' : 'No' },
    {
      name: 'Waits until its streams are complete',
      value:
        job.completeWithin === null ? (
          'No'
        ) : (
          <>
            At most <code>{job.completeWithin}</code> after the slot
          </>
        ),
    },
    {
      name: 'Corrections',
      value:
        job.restatement === 'NONE' ? (
          'Are shown as stale, and not delivered again automatically'
        ) : (
          <>
            Are delivered again after <code>{job.restateAfter}</code>, for windows of the last{' '}
            <code>{job.restateWithin}</code>
          </>
        ),
    },
    { name: 'Email', value: job.email },
  ];
  const files: Fact[] = [
    { name: 'Destination', value: <CopyableText text={job.s3Url} name="destination" /> },
    { name: 'Region', value: code(job.region) },
    { name: 'Bucket owner', value: code(job.bucketOwner) },
    { name: 'Encryption', value: job.encryption },
    { name: 'KMS key', value: job.kmsKeyId === null ? null : <Code className="breakable">{job.kmsKeyId}</Code> },
    { name: 'Format', value: job.format },
    { name: 'Compression', value: job.compression === 'NONE' ? 'None' : job.compression },
    { name: 'CSV', value: job.format === 'CSV' ? `${job.csvDialect}, ${job.csvDelimiter}` : null },
  ];
  return (
    <>
      <Section
        title="Schedule"
        actions={
          mayEdit && (
            <Button component={Link} to={`/jobs/${job.id}/edit`} variant="default">
              Edit settings
            </Button>
          )
        }
      >
        <Facts facts={schedule} />
      </Section>
      <Section title="Rows">
        <Facts facts={content} />
      </Section>
      <Section title="Files">
        <Facts facts={files} />
      </Section>
      <Section title="Identity">
        <Facts
          facts={[
            { name: 'Id', value: <CopyableText text={job.id} name="job id" /> },
            { name: 'Version', value: job.version },
            { name: 'Created', value: <Time value={job.createdAt} zone={zone} /> },
            { name: 'Changed', value: <Time value={job.updatedAt} zone={zone} /> },
          ]}
        />
      </Section>
    </>
  );
}
