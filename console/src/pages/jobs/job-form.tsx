import { Button, Grid, Group, Stack } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useEffect, useMemo, useRef, useState } from 'react';
import { Link, useNavigate } from 'react-router';
import type { Problem } from '../../api/problem.ts';
import { notifyDone } from '../../ui/notify.ts';
import { ProblemAlert } from '../../ui/states.tsx';
import { useUnsavedChanges } from '../../ui/unsaved.tsx';
import { AdvancedFields } from './advanced-fields.tsx';
import { ConflictDialog } from './conflict-dialog.tsx';
import { DestinationField } from './destination-field.tsx';
import { FormContext } from './form-context.ts';
import { placeIssues, selectTouched } from './form-issues.ts';
import { JobPreview } from './job-preview.tsx';
import {
  createValues,
  type JobSettings,
  type JobValues,
  readSettings,
  readValues,
  writeSettings,
} from './job-values.ts';
import type { StoredJob } from './jobs-documents.ts';
import { NameField, UsageFields } from './main-fields.tsx';
import { ScheduleFields } from './schedule-fields.tsx';
import { useJobCheck } from './use-job-check.ts';
import { useSaveJob } from './use-save-job.ts';

interface JobFormProps {
  readonly initial: JobValues;
  /** The job that is edited; null for a new job. */
  readonly stored: StoredJob | null;
}

interface Refusal {
  readonly settings: string;
  readonly problem: Problem;
}

/** The form of a job with a preview. */
export function JobForm({ initial, stored }: JobFormProps) {
  // The version that the edit is based on: reading the job again must not change it.
  const [base, setBase] = useState(stored);
  const form = useForm<JobValues>({ initialValues: initial });
  const { values } = form;
  const settings = useMemo(() => writeSettings(values), [values]);
  const checked = useJobCheck(settings, base?.id ?? null);
  const { save, isSaving } = useSaveJob();
  const [refusal, setRefusal] = useState<Refusal | null>(null);
  const [newer, setNewer] = useState<StoredJob | null>(null);
  const [savedId, setSavedId] = useState<string | null>(null);
  const navigate = useNavigate();
  const element = useRef<HTMLFormElement>(null);

  useUnsavedChanges(form.isDirty() && savedId === null);
  // After useUnsavedChanges(), which then no longer asks.
  useEffect(() => {
    if (savedId !== null) void navigate(`/jobs/${savedId}`);
  }, [savedId, navigate]);
  useEffect(() => {
    if (refusal !== null) element.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [refusal]);

  // The problem of the last save, until the settings change: then that of the check.
  const problem = refusal?.settings === JSON.stringify(settings) ? refusal.problem : checked.problem;
  const placed = placeIssues(problem?.issues ?? {}, { ...values });
  const issues = refusal === null ? selectTouched(placed, form.isTouched) : placed;

  const submit = async (chosen: JobSettings, version: StoredJob | null): Promise<void> => {
    const saved = await save(chosen, version);
    if (saved.id !== null) {
      notifyDone(`The job ${chosen.jobName} was ${version === null ? 'created' : 'changed'}.`);
      setSavedId(saved.id);
    } else if (saved.newer !== null) setNewer(saved.newer);
    else if (saved.problem !== null) setRefusal({ settings: JSON.stringify(chosen), problem: saved.problem });
  };

  return (
    <FormContext value={{ form, issues }}>
      <form ref={element} onSubmit={form.onSubmit(() => void submit(settings, base))} noValidate>
        <Grid gap="xl">
          <Grid.Col span={{ base: 12, md: 7 }}>
            <Stack gap="lg">
              <NameField />
              <DestinationField />
              <ScheduleFields isNew={base === null} />
              <UsageFields />
              <AdvancedFields />
              {refusal !== null && <ProblemAlert problem={problem} fields={SHOWN} />}
              <Group>
                <Button type="submit" loading={isSaving}>
                  {base === null ? 'Create job' : 'Save changes'}
                </Button>
                <Button component={Link} to={base === null ? '/jobs' : `/jobs/${base.id}`} variant="default">
                  Cancel
                </Button>
              </Group>
            </Stack>
          </Grid.Col>
          <Grid.Col span={{ base: 12, md: 5 }}>
            <JobPreview checked={checked} />
          </Grid.Col>
        </Grid>
      </form>
      {base !== null && newer !== null && (
        <ConflictDialog
          before={readSettings(base)}
          newer={newer}
          yours={settings}
          onClose={() => setNewer(null)}
          onChoose={(merged) => {
            setNewer(null);
            setBase(newer);
            form.setValues(readValues(merged));
            void submit(merged, newer);
          }}
        />
      )}
    </FormContext>
  );
}

/** Every setting has a field that shows its issues. */
const SHOWN = Object.keys(writeSettings(createValues('UTC')));
