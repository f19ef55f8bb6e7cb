import { Fieldset, Select, SimpleGrid, Stack, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useEffect, useState } from 'react';
import { useClient, useQuery } from 'urql';
import { NamesInput } from '../../ui/tags.tsx';
import { useField, useJobForm } from './form-context.ts';
import { type NamedStream, READ_DIMENSIONS, SUGGEST_STREAMS } from './jobs-documents.ts';
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

/** Returns up to 100 streams whose names contain the text, and their dimensions; null before they are read. */
function useStreams(search: string) {
  const [text] = useDebouncedValue(search.trim(), TYPING_MS);
  const [{ data }] = useQuery({ query: SUGGEST_STREAMS, variables: { search: text || null } });
  return data?.streams.edges.map(({ node }) => node) ?? null;
}

/** Returns the streams with these names, and their dimensions, as soon as they are read. */
function useNamedStreams(names: readonly string[]) {
  const client = useClient();
  const [streams, setStreams] = useState<readonly NamedStream[]>([]);
  const list = JSON.stringify(names);
  useEffect(() => {
    let isCurrent = true;
    const read = async (name: string): Promise<NamedStream | null> => {
      const { data } = await client.query(READ_DIMENSIONS, { name }, { requestPolicy: 'cache-first' }).toPromise();
      return data?.stream ?? null;
    };
    // One after the other, because a job may name hundreds, and the browser has few connections to a server.
    const readAll = async (): Promise<void> => {
      const found: NamedStream[] = [];
      for (const name of JSON.parse(list) as string[]) {
        const stream = await read(name);
        if (!isCurrent) return;
        if (stream !== null) found.push(stream);
      }
      setStreams(found);
    };
    void readAll();
    return () => {
      isCurrent = false;
    };
  }, [client, list]);
  return streams;
}

/** Names of dimensions that the chosen streams have; of the first 100 streams if none is chosen. */
export function useDimensions(): string[] {
  const { form } = useJobForm();
  const chosen = form.values.meterApiNames;
  const first = useStreams('');
  const others = useNamedStreams(
    first === null ? [] : chosen.filter((name) => first.every((stream) => stream.name !== name)),
  );
  return suggestDimensions([...(first ?? []), ...others], chosen);
}

/** What is exported, and as which file. */
export function UsageFields() {
  const [search, setSearch] = useState('');
  const streams = useStreams(search) ?? [];
  const dimensions = useDimensions();
  const { form } = useJobForm();
  const { meterApiNames, groupBy } = form.values;
  return (
    <Fieldset legend="Usage">
      <Stack>
        <NamesInput
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
        <NamesInput
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
