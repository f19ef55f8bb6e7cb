import { Button, Group, Modal, Radio, Stack, Text } from '@mantine/core';
import { useMediaQuery } from '@mantine/hooks';
import { useState } from 'react';
import { type Column, DataTable } from '../../ui/data-table.tsx';
import { Time } from '../../ui/figures.tsx';
import { type Difference, listDifferences, mergeSettings, type Side } from './job-conflict.ts';
import { type JobSettings, readSettings } from './job-values.ts';
import type { StoredJob } from './jobs-documents.ts';

interface ConflictDialogProps {
  /** Settings of the version that the edit is based on. */
  readonly before: JobSettings;
  /** The job as the other edit stored it. */
  readonly newer: StoredJob;
  readonly yours: JobSettings;
  readonly onClose: () => void;
  readonly onChoose: (merged: JobSettings) => void;
}

/** Shows two edits of a job, and lets the user choose for each setting. */
export function ConflictDialog({ before, newer, yours, onClose, onChoose }: ConflictDialogProps) {
  const theirs = readSettings(newer);
  const differences = listDifferences(before, theirs, yours);
  const [chosen, setChosen] = useState<Readonly<Record<string, Side>>>({});
  const isNarrow = useMediaQuery('(max-width: 48em)');
  const sideOf = ({ name, suggestion }: Difference): Side => chosen[name] ?? suggestion;
  const renderSide = (side: Side) => (difference: Difference) => (
    <Radio
      name={`conflict-${difference.name}`}
      label={difference[side]}
      aria-label={`${difference.label}: ${side}, ${difference[side]}`}
      checked={sideOf(difference) === side}
      onChange={() => setChosen({ ...chosen, [difference.name]: side })}
      className="breakable"
    />
  );
  const columns: Column<Difference>[] = [
    { title: 'Setting', isHeading: true, cell: ({ label }) => label },
    { title: 'Before', cell: (difference) => <span className="breakable">{difference.before}</span> },
    { title: 'Theirs', cell: renderSide('theirs') },
    { title: 'Yours', cell: renderSide('yours') },
  ];
  return (
    <Modal
      opened
      onClose={onClose}
      title="This job was changed while you edited it"
      size="xl"
      fullScreen={isNarrow}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <Stack>
        <Text component="div">
          Another edit was stored on <Time value={newer.updatedAt} zone={newer.timeZone} />.
          {differences.length === 0 ? ' It has the same settings as yours.' : ' Choose the settings to keep.'}
        </Text>
        {differences.length > 0 && (
          <DataTable label="Edits" rows={differences} columns={columns} rowKey={({ name }) => name} />
        )}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Continue editing
          </Button>
          <Button
            data-autofocus
            onClick={() =>
              onChoose(
                mergeSettings(
                  theirs,
                  yours,
                  Object.fromEntries(differences.map((difference) => [difference.name, sideOf(difference)])),
                ),
              )
            }
          >
            Save these settings
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
