import { Checkbox, Select, SimpleGrid, Stack, Switch, Textarea, TextInput } from '@mantine/core';
import { useField, useJobForm } from './form-context.ts';

const DURATION = { autoComplete: 'off', spellCheck: false } as const;

export function FileFields() {
  const isCsv = useJobForm().form.values.format === 'CSV';
  const delimiter = useField('csvDelimiter');
  const dialect = useField('csvDialect');
  return (
    <Stack>
      <Select
        label="Compression"
        allowDeselect={false}
        data={[
          { value: 'NONE', label: 'None' },
          { value: 'GZIP', label: 'gzip' },
          { value: 'ZSTD', label: 'Zstandard' },
        ]}
        {...useField('compression')}
      />
      {isCsv && (
        <SimpleGrid cols={{ base: 1, sm: 2 }} verticalSpacing="md">
          <Select
            label="Delimiter"
            description="Excel expects semicolons in most of Europe."
            allowDeselect={false}
            data={[
              { value: 'COMMA', label: 'Comma' },
              { value: 'SEMICOLON', label: 'Semicolon' },
            ]}
            {...delimiter}
          />
          <Select
            label="Dialect"
            description="For spreadsheets or for programs."
            allowDeselect={false}
            data={[
              { value: 'STANDARD', label: 'Standard (RFC 4180)' },
              { value: 'EXCEL', label: 'Excel' },
            ]}
            {...dialect}
          />
        </SimpleGrid>
      )}
      <Checkbox
        label="Leave out buckets without usage"
        description="Otherwise each group has a row in every bucket, with the value 0 if it has no usage there."
        {...useField('sparse', 'checkbox')}
      />
      <TextInput
        label="Multiply values by"
        description="An exact decimal number, such as 0.001."
        inputMode="decimal"
        autoComplete="off"
        {...useField('coefficient')}
      />
    </Stack>
  );
}

export function WindowFields() {
  return (
    <Stack>
      <TextInput
        label="End before the run"
        description="How long before its slot the window ends, such as ago(1d). Empty: it ends at the slot."
        {...DURATION}
        {...useField('endTimeOffset')}
      />
      <Checkbox
        label="Export whole buckets only"
        description="Otherwise the last bucket may be partial."
        {...useField('minimizeFresh', 'checkbox')}
      />
      <TextInput
        label="Wait until streams are complete, up to"
        description="A run waits until its streams are declared complete, at most this long, such as ago(6h). Empty: it does not wait."
        {...DURATION}
        {...useField('completeWithin')}
      />
    </Stack>
  );
}

export function CorrectionFields() {
  const isAutomatic = useJobForm().form.values.restatement === 'AUTOMATIC';
  const after = useField('restateAfter');
  const within = useField('restateWithin');
  return (
    <Stack>
      <Select
        label="When a delivered window is corrected"
        allowDeselect={false}
        data={[
          { value: 'AUTOMATIC', label: 'Deliver it again automatically' },
          { value: 'NONE', label: 'Show it as stale' },
        ]}
        {...useField('restatement')}
      />
      {isAutomatic && (
        <SimpleGrid cols={{ base: 1, sm: 2 }} verticalSpacing="md">
          <TextInput label="Collect corrections for" description="From ago(1m) to ago(24h)." {...DURATION} {...after} />
          <TextInput
            label="Only windows that ended within"
            description="Such as ago(35d). Older ones are shown as stale."
            {...DURATION}
            {...within}
          />
        </SimpleGrid>
      )}
    </Stack>
  );
}

export function BucketFields() {
  const isKms = useJobForm().form.values.encryption === 'KMS';
  const kmsKey = useField('kmsKeyId');
  return (
    <Stack>
      <SimpleGrid cols={{ base: 1, sm: 2 }} verticalSpacing="md">
        <TextInput
          label="Region"
          description="Empty: the region of the server."
          placeholder="eu-central-1"
          autoComplete="off"
          {...useField('region')}
        />
        <TextInput
          label="Account that owns the bucket"
          description="12 digits. Empty: any account."
          autoComplete="off"
          {...useField('bucketOwner')}
        />
      </SimpleGrid>
      <Select
        label="Encryption"
        allowDeselect={false}
        data={[
          { value: '', label: 'Default of the bucket' },
          { value: 'AES256', label: 'Keys that the store manages (SSE-S3)' },
          { value: 'KMS', label: 'A key of AWS KMS (SSE-KMS)' },
        ]}
        {...useField('encryption')}
      />
      {isKms && (
        <TextInput
          label="KMS key"
          description="Key id, key ARN or alias ARN. Empty: the key that AWS manages."
          autoComplete="off"
          {...kmsKey}
        />
      )}
    </Stack>
  );
}

export function NoticeFields() {
  return (
    <Stack>
      <TextInput
        type="email"
        label="Email"
        description="Notified when a run finishes."
        placeholder="billing@example.com"
        {...useField('email')}
      />
      <Textarea label="Description" autosize minRows={2} {...useField('description')} />
      <Switch label="Enabled" description="A disabled job runs on request only." {...useField('enabled', 'checkbox')} />
    </Stack>
  );
}
