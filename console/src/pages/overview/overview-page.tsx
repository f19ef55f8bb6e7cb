import { Stack } from '@mantine/core';
import { useCan } from '../../api/viewer.ts';
import { Time } from '../../ui/figures.tsx';
import { FirstCommands } from '../../ui/first-commands.tsx';
import { Page } from '../../ui/page.tsx';
import { Empty, Loaded } from '../../ui/states.tsx';
import { Attention } from './attention.tsx';
import { Intake } from './intake.tsx';
import { LatestRuns, NextSlots } from './overview-tables.tsx';
import { isEmptyAccount } from './overview-words.ts';
import { useOverview } from './use-overview.ts';
import './overview.css';

/** What needs attention, and what happened lately. */
export function OverviewPage() {
  const isReader = useCan('READ');
  if (isReader) return <AccountOverview />;
  return (
    <Page title="Overview">
      <Empty title="Your key cannot read">Sign in with a key that has the scope READ.</Empty>
    </Page>
  );
}

function AccountOverview() {
  const query = useOverview();
  const at = query[0].data?.overview.at;
  return (
    <Page
      title="Overview"
      description={
        at !== undefined && (
          <>
            As of <Time value={at} />
          </>
        )
      }
    >
      <Loaded query={query} what="the overview">
        {(data) =>
          isEmptyAccount(data) ? (
            <FirstCommands title="This account is empty" at={data.overview.at} />
          ) : (
            <Stack gap={40}>
              <Attention overview={data.overview} />
              <LatestRuns data={data} />
              <Intake data={data} />
              <NextSlots overview={data.overview} />
            </Stack>
          )
        }
      </Loaded>
    </Page>
  );
}
