import { Button, Group, Stack, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useState } from 'react';
import { useLocation, useNavigate, useSearchParams } from 'react-router';
import { useAction } from '../../api/use-action.ts';
import { useCan } from '../../api/viewer.ts';
import { notifyDone } from '../../ui/notify.ts';
import { Section } from '../../ui/page.tsx';
import { Empty, ProblemAlert } from '../../ui/states.tsx';
import { ValuesInput } from '../../ui/tags.tsx';
import { useUnsavedChanges } from '../../ui/unsaved.tsx';
import {
  CORRECTION_FIELDS,
  type CorrectionValues,
  findCorrectionIssues,
  readCorrection,
  toReplaceInput,
  validateCorrection,
} from './correction-form.ts';
import { PreviewPanel } from './preview-panel.tsx';
import type { Granularity } from './selection.ts';
import { useStream } from './stream-page.tsx';
import { REPLACE_VALUE, type Stream } from './streams-documents.ts';
import { usePreview } from './use-preview.ts';

/** Corrects the value of one bucket, filter and element. */
export function CorrectView() {
  const stream = useStream();
  const isWriter = useCan('INGEST');
  const [address] = useSearchParams();
  // Of the visit: a link to the same address begins the next correction.
  const { key: visit } = useLocation();
  const [storedIn, setStoredIn] = useState<string | null>(null);
  if (!isWriter) {
    return (
      <Empty title="Your key cannot correct values">Sign in with a key that has the scopes READ and INGEST.</Empty>
    );
  }
  if (visit === storedIn) return <Stored name={stream.name} />;
  return (
    <CorrectionForm
      key={`${address.toString()} ${storedIn}`}
      stream={stream}
      initial={readCorrection(address, stream)}
      onStored={() => setStoredIn(visit)}
    />
  );
}

function Stored({ name }: { readonly name: string }) {
  const navigate = useNavigate();
  return (
    <Empty
      title="The correction is stored"
      action={
        <Group>
          <Button onClick={() => void navigate(`/streams/${name}/ledger`)}>Ledger</Button>
          <Button variant="default" onClick={() => void navigate(`/streams/${name}/records`)}>
            Records
          </Button>
        </Group>
      }
    >
      It is the newest operation of the ledger, and can be reverted there.
    </Empty>
  );
}

const BUCKET_FIELDS: Readonly<
  Record<Granularity, { readonly label: string; readonly type: string; readonly step?: number }>
> = {
  HOURLY: { label: 'Hour (UTC)', type: 'datetime-local', step: 3600 },
  DAILY: { label: 'Date', type: 'date' },
  MONTHLY: { label: 'Month', type: 'month' },
};

interface FormProps {
  readonly stream: Stream;
  readonly initial: CorrectionValues;
  readonly onStored: () => void;
}

function CorrectionForm({ stream, initial, onStored }: FormProps) {
  const { granularity, dimensions } = stream;
  const preview = usePreview();
  const replace = useAction(REPLACE_VALUE);
  const form = useForm<{ bucket: string; element: string; filter: string[][]; value: string }>({
    initialValues: { ...initial, filter: initial.filter.map((values) => [...values]) },
    // A preview holds for the values that were previewed.
    onValuesChange: () => {
      preview.clear();
      replace.clear();
    },
    validate: (values) => ({ ...validateCorrection(values) }),
  });
  useUnsavedChanges(form.isDirty());
  const problem = replace.problem ?? preview.problem;
  const issues = findCorrectionIssues(problem, dimensions.length);
  const ask = form.onSubmit((values) => preview.run({ replace: toReplaceInput(stream, values) }));
  const send = async (): Promise<void> => {
    const { element, bucket } = form.values;
    if ((await replace.run({ input: toReplaceInput(stream, form.values) })) === null) return;
    onStored();
    notifyDone(`The value of ${element} in ${bucket.replace('T', ' ')} was corrected.`);
  };
  return (
    <Section title="Correct a value">
      <Text c="dimmed" maw={720}>
        The value replaces all live records of the bucket, the dimensions and the element. Nothing is stored before you
        have seen what changes.
      </Text>
      <form onSubmit={ask} noValidate>
        <Stack maw={720}>
          <TextInput
            {...BUCKET_FIELDS[granularity]}
            {...form.getInputProps('bucket')}
            error={form.errors['bucket'] ?? issues.bucket}
          />
          <TextInput label="Element" {...form.getInputProps('element')} error={issues.element} />
          {dimensions.map((dimension, index) => (
            <ValuesInput
              key={dimension}
              label={dimension}
              description="Press Enter after each value."
              {...form.getInputProps(`filter.${index}`)}
              error={issues.filter[index]}
            />
          ))}
          <TextInput
            label="Value"
            inputMode="decimal"
            data-autofocus
            {...form.getInputProps('value')}
            error={form.errors['value'] ?? issues.value}
          />
          <ProblemAlert problem={problem} fields={CORRECTION_FIELDS} />
          <Group>
            <Button type="submit" variant={preview.preview ? 'default' : 'filled'} loading={preview.isRunning}>
              Preview
            </Button>
          </Group>
        </Stack>
      </form>
      {preview.preview && (
        <Section title="What changes">
          <PreviewPanel preview={preview.preview} granularity={granularity} />
          <Group>
            <Button loading={replace.isRunning} onClick={() => void send()}>
              Store the correction
            </Button>
          </Group>
        </Section>
      )}
    </Section>
  );
}
