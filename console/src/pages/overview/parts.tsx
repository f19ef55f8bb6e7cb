import { Text } from '@mantine/core';
import { Link } from 'react-router';
import { Time, TimeSpan } from '../../ui/figures.tsx';
import { formatDistance } from '../../ui/time-text.ts';

interface JobPart {
  readonly id: string;
  readonly timeZone?: string;
}

/** The name of a job; a link unless the job is deleted. */
export function JobLink({ name, job }: { readonly name: string; readonly job: JobPart | null }) {
  return job === null ? (
    <span className="breakable">{name}</span>
  ) : (
    <Link className="breakable" to={`/jobs/${job.id}`}>
      {name}
    </Link>
  );
}

interface WindowLinkProps {
  readonly of: { readonly windowStart: string; readonly windowEnd: string };
  readonly job: JobPart | null;
  /** Address below that of the job, such as `runs/ID`. If it is omitted, the cell is text without a link. */
  readonly to?: string;
}

/** A window in the time zone of its job; a link to its run or delivery unless the job is deleted. */
export function WindowLink({ of: { windowStart, windowEnd }, job, to }: WindowLinkProps) {
  const span = <TimeSpan from={windowStart} to={windowEnd} {...(job?.timeZone && { zone: job.timeZone })} />;
  return job === null || to === undefined ? span : <Link to={`/jobs/${job.id}/${to}`}>{span}</Link>;
}

interface WhenProps {
  readonly value: string;
  /** The time of the overview. */
  readonly at: string;
  readonly job: JobPart | null;
}

/** How long ago or until a time, and the time itself below. */
export function When({ value, at, job }: WhenProps) {
  return (
    <div>
      {formatDistance(value, Date.parse(at))}
      <Text size="sm" c="dimmed">
        <Time value={value} {...(job?.timeZone && { zone: job.timeZone })} />
      </Text>
    </div>
  );
}
