import { Button } from '@mantine/core';
import { useState } from 'react';
import { useAction } from '../../api/use-action.ts';
import { type Column, DataTable } from '../../ui/data-table.tsx';
import { ExactNumber, Time, TimeSpan } from '../../ui/figures.tsx';
import { ProblemAlert } from '../../ui/states.tsx';
import { DeliveryStatus } from '../../ui/status.tsx';
import { useCan } from '../../api/viewer.ts';
import { TextLink } from '../../ui/text-link.tsx';
import { useVisit } from '../../ui/use-visit.ts';
import { type DeliveryRow, REDELIVER } from './run-documents.ts';

interface DeliveriesTableProps {
  readonly label: string;
  readonly jobId: string;
  readonly deliveries: readonly DeliveryRow[];
  readonly zone: string;
}

/** Deliveries of a job, with a button that delivers each again. */
export function DeliveriesTable({ label, jobId, deliveries, zone }: DeliveriesTableProps) {
  const mayRun = useCan('JOBS');
  const { redeliver, problem, isRedelivering } = useRedeliver(jobId);
  const columns: Column<DeliveryRow>[] = [
    {
      title: 'Window',
      isHeading: true,
      cell: ({ id, windowStart, windowEnd }) => (
        <TextLink to={`/jobs/${jobId}/deliveries/${id}`}>
          <TimeSpan from={windowStart} to={windowEnd} zone={zone} />
        </TextLink>
      ),
    },
    { title: 'State', cell: ({ state }) => <DeliveryStatus state={state} /> },
    {
      title: 'Revision',
      isFigure: true,
      cell: ({ revision }) => (revision === 0 ? '' : <ExactNumber value={revision} />),
    },
    {
      title: 'Rows',
      isFigure: true,
      cell: ({ currentRun }) => currentRun && <ExactNumber value={currentRun.rowsWritten} />,
    },
    {
      title: 'Delivered',
      cell: ({ deliveredAt }) => deliveredAt !== null && <Time value={deliveredAt} zone={zone} />,
    },
    ...(mayRun
      ? [
          {
            title: 'Actions',
            cell: (delivery: DeliveryRow) =>
              delivery.state !== 'RETIRED' && (
                <Button
                  variant="default"
                  size="xs"
                  loading={isRedelivering(delivery.id)}
                  onClick={() => void redeliver(delivery.id)}
                >
                  {delivery.revision === 0 ? 'Deliver' : 'Redeliver'}
                </Button>
              ),
          },
        ]
      : []),
  ];
  return (
    <>
      <ProblemAlert problem={problem} />
      <DataTable label={label} rows={deliveries} columns={columns} rowKey={({ id }) => id} />
    </>
  );
}

/** Returns a function that queues a run which writes a delivery again, and shows the run. */
export function useRedeliver(jobId: string) {
  const begin = useVisit();
  const { run, problem } = useAction(REDELIVER);
  const [running, setRunning] = useState<readonly string[]>([]);
  return {
    problem,
    isRedelivering: (id: string): boolean => running.includes(id),
    redeliver: async (id: string): Promise<void> => {
      const show = begin();
      setRunning((ids) => [...ids, id]);
      const data = await run({ id });
      setRunning((ids) => ids.filter((one) => one !== id));
      if (data?.redeliver.__typename === 'Run') show(`/jobs/${jobId}/runs/${data.redeliver.id}`);
    },
  };
}
