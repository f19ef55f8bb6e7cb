import { Anchor, Button, Group, Modal, Stack, Text } from '@mantine/core';
import { useEffect } from 'react';
import { Link } from 'react-router';
import { useAction } from '../../api/use-action.ts';
import { BROWSER_ZONE, Time } from '../../ui/figures.tsx';
import { notifyDone } from '../../ui/notify.ts';
import { Loading, ProblemAlert } from '../../ui/states.tsx';
import { formatInstant } from '../../ui/time-text.ts';
import { findNamedOperation, KIND_NAMES } from './operation-words.ts';
import { PreviewPanel } from './preview-panel.tsx';
import type { Granularity } from './selection.ts';
import { type Operation, REVERT_OPERATION } from './streams-documents.ts';
import { usePreview } from './use-preview.ts';

interface DialogProps {
  /** Operation to revert; null if the dialog is closed. */
  readonly operation: Operation | null;
  readonly stream: string;
  readonly granularity: Granularity;
  readonly onClose: () => void;
}

/** Shows what the revert of an operation changes, or why it cannot be reverted, and reverts it. */
export function RevertDialog({ operation, stream, granularity, onClose }: DialogProps) {
  const { run, clear, preview, problem, isRunning } = usePreview();
  const revert = useAction(REVERT_OPERATION);
  const id = operation?.id;
  useEffect(() => {
    if (id !== undefined) void run({ revertOperation: id });
  }, [id, run]);
  const close = (): void => {
    clear();
    revert.clear();
    onClose();
  };
  // The end of a revert that runs would be shown in the dialog of another operation.
  const dismiss = (): void => {
    if (!revert.isRunning) close();
  };
  const send = async ({ id, kind, receivedAt }: Operation): Promise<void> => {
    if ((await revert.run({ id })) === null) return;
    notifyDone(`The ${KIND_NAMES[kind].toLowerCase()} of ${formatInstant(receivedAt, BROWSER_ZONE)} was reverted.`);
    close();
  };
  const found = revert.problem ?? problem;
  const obstacle = found?.code === 'NOT_REVERTIBLE' ? findNamedOperation(found.message) : null;
  return (
    <Modal
      opened={operation !== null}
      onClose={dismiss}
      size="xl"
      title={operation && `Revert the ${KIND_NAMES[operation.kind].toLowerCase()} in ${stream}?`}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      {operation && (
        <Stack>
          <Text>
            The {KIND_NAMES[operation.kind].toLowerCase()} was received <Time value={operation.receivedAt} />. A revert
            hides the records that it inserted, and inserts those that it hid. It is an operation of the ledger, and can
            be reverted too.
          </Text>
          {isRunning && <Loading what="the preview" />}
          {preview && <PreviewPanel preview={preview} granularity={granularity} />}
          <ProblemAlert problem={found} />
          {obstacle !== null && (
            <Anchor
              component={Link}
              to={`/streams/${stream}/ledger?operation=${encodeURIComponent(obstacle)}`}
              onClick={dismiss}
            >
              Show the operation that depends on it
            </Anchor>
          )}
          <Group justify="flex-end">
            <Button variant="default" onClick={dismiss} disabled={revert.isRunning} data-autofocus>
              {found ? 'Close' : 'Cancel'}
            </Button>
            {preview && (
              <Button color="red" loading={revert.isRunning} onClick={() => void send(operation)}>
                Revert operation
              </Button>
            )}
          </Group>
        </Stack>
      )}
    </Modal>
  );
}
