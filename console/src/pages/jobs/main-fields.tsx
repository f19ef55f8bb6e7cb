import { Fieldset, Select, SimpleGrid, Stack, TagsInput, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useState } from 'react';
import { useQuery } from 'urql';
import { useField, useJobForm } from './form-context.ts';
import { SUGGEST_STREAMS } from './jobs-documents.ts';
import { suggestDimensions } from './suggestions.ts';

const TYPING_MS = 250;

export function NameField() {
  return (
    <TextInput
      label="Name"
      description="Letters, digits, spaces, commas, brackets and hyphens. Object keys contain it in lower case."
      data-autofocus
      autoFocus
      autoComplete="off"
      required
      {...useField('jobName')}
    />
  );
}

/** Returns streams whose names contain the text, and their dimensions. */
function useStreams(search: string) {
  const [text] = useDebouncedValue(search.trim(), TYPING_MS);
  const [{ data }] = useQuery({ query: SUGGEST_STREAMS, variables: { search: text || null } });
  return data?.streams.edges.map(({ node }) => node) ?? [];
}

/** Names of dimensions that the chosen streams have. */
export function useDimensions(): string[] {
  const { form } = useJobForm();
  return suggestDimensions(useStreams(''), form.values.meterApiNames);
}

/** What is exported, and as which file. */
export function UsageFields() {
  const [search, setSearch] = useState('');
  const streams = useStreams(search);
  const dimensions = useDimensions();
  const { form } = useJobForm();
  const { meterApiNames, groupBy } = form.values;
  return (
    <Fieldset legend="Usage">
      <Stack>
        <TagsInput
          label="Streams"
          description="Choose names, or type one and press Enter. Without a name, all streams are exported."
          placeholder={meterApiNames.length === 0 ? 'All streams' : 'Add a stream'}
          data={streams.map(({ name }) => name)}
          searchValue={search}
          onSearchChange={setSearch}
          limit={100}
          {...useField('meterApiNames')}
        />
        <SimpleGrid cols={{ base: 1, sm: 2 }} verticalSpacing="md">
          <Select
            label="One row for each"
            allowDeselect={false}
            data={[
              { value: 'HOUR', label: 'Hour' },
              { value: 'DAY', label: 'Day' },
              { value: 'WEEK', label: 'Week' },
              { value: 'MONTH', label: 'Month' },
            ]}
            {...useField('aggregationBucket')}
          />
          <Select
            label="Format"
            allowDeselect={false}
            data={[
              { value: 'CSV', label: 'CSV' },
              { value: 'JSON', label: 'JSON' },
              { value: 'NDJSON', label: 'NDJSON, one object per line' },
              { value: 'PARQUET', label: 'Parquet' },
            ]}
            {...useField('format')}
          />
        </SimpleGrid>
        <TagsInput
          label="Group by"
          description="Dimensions, or element. Each is a column, and each combination of values has rows of its own."
          placeholder={groupBy.length === 0 ? 'No groups: one total for each stream' : 'Add a dimension'}
          data={dimensions}
          {...useField('groupBy')}
        />
      </Stack>
    </Fieldset>
  );
}
