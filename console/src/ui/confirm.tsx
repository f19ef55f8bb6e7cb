import { Button, Group, Modal, Stack } from '@mantine/core';
import { createContext, type ReactNode, use, useCallback, useState } from 'react';

export interface Question {
  readonly title: string;
  /** Names what the action changes or destroys. */
  readonly body: ReactNode;
  /** Label of the button that does it, such as `Revoke key`. */
  readonly action: string;
  readonly isDestructive?: boolean;
}

type Ask = (question: Question) => Promise<boolean>;

const ConfirmContext = createContext<Ask | null>(null);

/** Returns a function that asks the user to confirm, and returns whether the user did. */
export function useConfirm(): Ask {
  const ask = use(ConfirmContext);
  if (ask === null) throw new Error('useConfirm() is called outside of ConfirmProvider.');
  return ask;
}

interface Asked {
  readonly question: Question;
  readonly answer: (isConfirmed: boolean) => void;
}

export function ConfirmProvider({ children }: { readonly children: ReactNode }) {
  const [asked, setAsked] = useState<Asked | null>(null);
  const [isOpen, setOpen] = useState(false);
  const ask = useCallback<Ask>(
    (question) =>
      new Promise((answer) => {
        setAsked({ question, answer });
        setOpen(true);
      }),
    [],
  );
  const end = (isConfirmed: boolean): void => {
    asked?.answer(isConfirmed);
    setOpen(false);
  };
  return (
    <ConfirmContext value={ask}>
      {children}
      <Modal
        opened={isOpen}
        onClose={() => end(false)}
        title={asked?.question.title}
        closeButtonProps={{ 'aria-label': 'Close' }}
        centered
      >
        <Stack>
          <div>{asked?.question.body}</div>
          <Group justify="flex-end">
            <Button variant="default" onClick={() => end(false)} data-autofocus>
              Cancel
            </Button>
            <Button {...(asked?.question.isDestructive && { color: 'red' })} onClick={() => end(true)}>
              {asked?.question.action}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </ConfirmContext>
  );
}
