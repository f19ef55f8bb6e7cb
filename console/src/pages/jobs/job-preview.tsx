import { Accordion, Alert, Code, Group, Stack, Text, Title } from '@mantine/core';
import { CopyableText, CopyButton } from '../../ui/copy.tsx';
import { Time, TimeSpan } from '../../ui/figures.tsx';
import { ProblemAlert } from '../../ui/states.tsx';
import { Status } from '../../ui/status.tsx';
import type { JobCheck } from './jobs-documents.ts';
import { countIssues, listLines } from './preview-text.ts';
import type { CheckState } from './use-job-check.ts';

interface JobPreviewProps {
  readonly checked: CheckState;
}

/** What the job would write, while the user types. */
export function JobPreview({ checked: { check, problem, isOutdated } }: JobPreviewProps) {
  const issues = countIssues(problem);
  return (
    <Stack component="aside" aria-label="Preview" className="preview" gap="md">
      <Group justify="space-between">
        <Title order={2} size="h3">
          Preview
        </Title>
        <div role="status">
          {isOutdated ? (
            <Status tone="neutral">Checking …</Status>
          ) : problem === null ? (
            <Status tone="good">Valid</Status>
          ) : (
            <Status tone="waiting">{issues}</Status>
          )}
        </div>
      </Group>
      {problem !== null && Object.keys(problem.issues).length === 0 && <ProblemAlert problem={problem} />}
      {problem === null && check !== null ? (
        <Check check={check} />
      ) : (
        <Text c="dimmed">Windows, files and first rows appear here as soon as all fields are valid.</Text>
      )}
    </Stack>
  );
}

function Check({ check }: { readonly check: JobCheck }) {
  const { job, nextWindows, objectKeys, sample, warnings, query } = check;
  const zone = job.timeZone;
  return (
    <>
      {warnings.length > 0 && (
        <Alert color="orange" variant="light" title="Valid, but probably not intended">
          <ul className="issues">
            {warnings.map((warning) => (
              <li key={warning}>{warning}</li>
            ))}
          </ul>
        </Alert>
      )}
      <Stack gap={4} component="section" aria-label="Next runs">
        <Title order={3} size="h4">
          Next runs
        </Title>
        {nextWindows.length === 0 && (
          <>
            <Text c="dimmed">
              {job.enabled && job.scheduledTimeInSeconds === null && job.cron === null
                ? 'One run, as soon as the job is created.'
                : 'The schedule starts no run.'}
            </Text>
            {objectKeys.slice(0, 1).map((key) => (
              <CopyableText key={key} text={key} name="object key" />
            ))}
          </>
        )}
        {nextWindows.map((window) => (
          <div key={window.scheduledFor} className="window">
            <Time value={window.scheduledFor} zone={zone} />
            <Text size="sm" c="dimmed" component="div">
              exports <TimeSpan from={window.windowStart} to={window.windowEnd} zone={zone} />
            </Text>
            {window.objectKeys.map((key) => (
              <CopyableText key={key} text={key} name="object key" />
            ))}
          </div>
        ))}
      </Stack>
      <Stack gap={4} component="section" aria-label="First rows">
        <Title order={3} size="h4">
          First rows of a run now
        </Title>
        <Text size="sm" c="dimmed" component="div">
          <TimeSpan from={query.windowStart} to={query.windowEnd} zone={zone} />
        </Text>
        {sample.length === 0 ? (
          <Text c="dimmed">This window does not contain usage.</Text>
        ) : (
          <Code block component="ol" className="lines">
            {listLines(sample, query.groupBy, job).map((line, index) => (
              <li key={index}>{line}</li>
            ))}
          </Code>
        )}
      </Stack>
      <Accordion variant="contained" transitionDuration={0} order={3}>
        <Accordion.Item value="sql">
          <Accordion.Control>SQL that PostgreSQL would run</Accordion.Control>
          <Accordion.Panel>
            <Stack gap="xs">
              <Code block tabIndex={0} aria-label="SQL" className="scrolled">
                {query.sql}
              </Code>
              <Group>
                <CopyButton text={query.sql} name="SQL" />
              </Group>
            </Stack>
          </Accordion.Panel>
        </Accordion.Item>
      </Accordion>
    </>
  );
}
