import { Alert, Button, Checkbox, Code, Group, Modal, Stack, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useState } from 'react';
import { useAction } from '../../api/use-action.ts';
import { CopyButton } from '../../ui/copy.tsx';
import { ProblemAlert } from '../../ui/states.tsx';
import { CREATE_KEY } from './keys-documents.ts';
import { type ScopeName, SCOPES } from './scopes.ts';

interface DialogProps {
  readonly isOpen: boolean;
  readonly onClose: () => void;
}

interface Created {
  readonly name: string;
  readonly secret: string;
}

/** Creates a key, then shows its secret once. */
export function CreateKeyDialog({ isOpen, onClose }: DialogProps) {
  const [created, setCreated] = useState<Created | null>(null);
  // The secret cannot be shown again, so a click outside does not close the dialog.
  const isKept = created !== null;
  return (
    <Modal
      opened={isOpen}
      onClose={onClose}
      onExitTransitionEnd={() => setCreated(null)}
      closeOnClickOutside={!isKept}
      closeOnEscape={!isKept}
      withCloseButton={!isKept}
      closeButtonProps={{ 'aria-label': 'Close' }}
      title={created === null ? 'Create a key' : `Store the key ${created.name}`}
      size="lg"
    >
      {created === null ? (
        <KeyForm onCreated={setCreated} onCancel={onClose} />
      ) : (
        <Stack>
          <Alert color="orange" title="This is the only time that the key is shown">
            Sluice keeps only its hash. Copy the key to the place that will use it.
          </Alert>
          <Code block className="secret" data-testid="secret">
            {created.secret}
          </Code>
          <Group justify="flex-end">
            <CopyButton text={created.secret} name="key" />
            <Button onClick={onClose}>I have stored it</Button>
          </Group>
        </Stack>
      )}
    </Modal>
  );
}

interface FormProps {
  readonly onCreated: (created: Created) => void;
  readonly onCancel: () => void;
}

const FIELDS = ['name', 'scopes'] as const;

function KeyForm({ onCreated, onCancel }: FormProps) {
  const { run, problem, isRunning } = useAction(CREATE_KEY);
  const form = useForm<{ name: string; scopes: ScopeName[] }>({ initialValues: { name: '', scopes: ['READ'] } });
  const submit = form.onSubmit(async (input) => {
    const data = await run({ input });
    if (data?.createApiKey.__typename === 'NewApiKey') {
      onCreated({ name: data.createApiKey.key.name, secret: data.createApiKey.secret });
    }
  });
  const issues = problem?.issues ?? {};
  return (
    <form onSubmit={submit} noValidate>
      <Stack>
        <TextInput
          label="Name"
          description="By which you recognize the key, such as the program that uses it."
          data-autofocus
          {...form.getInputProps('name')}
          error={issues['name']}
        />
        <Checkbox.Group label="Scopes" {...form.getInputProps('scopes')} error={issues['scopes']}>
          <Stack gap="sm" mt="xs">
            {SCOPES.map(({ scope, allows }) => (
              <Checkbox key={scope} value={scope} label={scope} description={allows} />
            ))}
          </Stack>
        </Checkbox.Group>
        <ProblemAlert problem={problem} fields={FIELDS} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onCancel}>
            Cancel
          </Button>
          <Button type="submit" loading={isRunning}>
            Create key
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
