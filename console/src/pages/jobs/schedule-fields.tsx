import { Autocomplete, Fieldset, NumberInput, Select, SimpleGrid, Stack, Text, TextInput } from '@mantine/core';
import { describeSchedule } from '../../ui/schedule-text.ts';
import { useField, useJobForm } from './form-context.ts';
import { writeSettings } from './job-values.ts';
import { type Frequency, USUAL_RANGE } from './simple-schedule.ts';
import { DURATION, optionOfRange, RANGES } from './suggestions.ts';

const ZONES = ['UTC', ...Intl.supportedValuesOf('timeZone').filter((zone) => zone !== 'UTC')];
const WEEKDAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];

interface ScheduleFieldsProps {
  readonly isNew: boolean;
}

/** When the job runs, and which window each run exports. */
export function ScheduleFields({ isNew }: ScheduleFieldsProps) {
  const { form } = useJobForm();
  const { values } = form;
  const { frequency } = values;
  const setFrequency = (next: Frequency): void => {
    const usual = USUAL_RANGE[frequency];
    const isUsual = usual === undefined || usual === values.range;
    form.setFieldValue('frequency', next);
    const range = USUAL_RANGE[next];
    if (isUsual && range !== undefined) form.setFieldValue('range', range);
  };
  const hasTime = frequency === 'daily' || frequency === 'weekly' || frequency === 'monthly';
  const { cron, scheduledTimeInSeconds } = writeSettings(values);
  return (
    <Fieldset legend="Schedule">
      <Stack>
        <SimpleGrid cols={{ base: 1, sm: 2 }} verticalSpacing="md">
          <Select
            label="Runs"
            allowDeselect={false}
            data={[
              { value: 'daily', label: 'Every day' },
              { value: 'weekly', label: 'Every week' },
              { value: 'monthly', label: 'Every month' },
              { value: 'cron', label: 'By a cron expression' },
              { value: 'once', label: 'Once, at a time' },
              { value: 'request', label: isNew ? 'Once, immediately' : 'On request only' },
            ]}
            value={frequency}
            onChange={(next) => next !== null && setFrequency(next)}
          />
          {frequency === 'weekly' && (
            <Select
              label="On"
              allowDeselect={false}
              data={WEEKDAYS.map((label, index) => ({ value: String(index + 1), label }))}
              {...form.getInputProps('weekday')}
            />
          )}
          {frequency === 'monthly' && (
            <NumberInput
              label="On day"
              min={1}
              max={31}
              allowDecimal={false}
              clampBehavior="strict"
              value={values.dayOfMonth}
              onChange={(day) => form.setFieldValue('dayOfMonth', String(day))}
            />
          )}
          {hasTime && <TimeField />}
          {frequency === 'cron' && <CronField />}
          {frequency === 'once' && <OnceField />}
        </SimpleGrid>
        <SimpleGrid cols={{ base: 1, sm: 2 }} verticalSpacing="md">
          <Autocomplete
            label="Time zone"
            description="Of the schedule, the windows and the rows."
            data={ZONES}
            limit={30}
            selectFirstOptionOnChange={false}
            {...useField('timeZone')}
          />
          <RangeField />
        </SimpleGrid>
        {frequency !== 'request' && (
          <Text c="dimmed" aria-live="polite">
            Runs {describeSchedule({ cron, scheduledTimeInSeconds, timeZone: values.timeZone })}.
          </Text>
        )}
      </Stack>
    </Fieldset>
  );
}

function TimeField() {
  return <TextInput type="time" label="At" {...useField('time')} />;
}

function CronField() {
  return (
    <TextInput
      label="Cron expression"
      placeholder="15 6 * * MON-FRI"
      autoComplete="off"
      spellCheck={false}
      {...useField('cron')}
    />
  );
}

function OnceField() {
  return <TextInput type="datetime-local" label="At" {...useField('onceAt')} />;
}

function RangeField() {
  const { form } = useJobForm();
  const field = useField('range');
  const option = optionOfRange(form.values.range);
  return (
    <Stack gap="xs">
      <Select
        label="Window"
        description="Usage that each run exports."
        allowDeselect={false}
        data={[...RANGES]}
        value={option}
        onChange={(next) => next !== null && form.setFieldValue('range', next === DURATION ? 'ago(1d)' : next)}
        error={option === DURATION ? null : field.error}
      />
      {option === DURATION && (
        <TextInput
          label="Duration"
          description="Such as ago(7d), ago(12h) or ago(30m)."
          autoComplete="off"
          spellCheck={false}
          {...field}
        />
      )}
    </Stack>
  );
}
