import { Autocomplete, Button, Group, Stack, Text } from '@mantine/core';
import { ValuesInput } from '../../ui/tags.tsx';
import { useField, useJobForm } from './form-context.ts';
import { useDimensions } from './main-fields.tsx';

/** Dimensions with their allowed values. */
export function FilterFields() {
  const { form, issues } = useJobForm();
  return (
    <Stack>
      <Text size="sm" c="dimmed">
        A record is exported if it has an allowed value of every dimension listed.
      </Text>
      {form.values.filter.map((_, index) => (
        <FilterRow key={index} index={index} />
      ))}
      {issues['filter'] !== undefined && <Text c="var(--mantine-color-error)">{issues['filter']}</Text>}
      <Group>
        <Button variant="default" onClick={() => form.insertListItem('filter', { dimension: '', values: [] })}>
          Add a dimension
        </Button>
      </Group>
    </Stack>
  );
}

function FilterRow({ index }: { readonly index: number }) {
  const { form } = useJobForm();
  const dimensions = useDimensions();
  const name = form.values.filter[index]?.dimension || `filter ${index + 1}`;
  return (
    <Group align="flex-start" className="filter-row">
      <Autocomplete label="Dimension" data={dimensions} {...useField(`filter.${index}.dimension`)} />
      <ValuesInput
        label="Allowed values"
        placeholder="Type a value and press Enter"
        {...useField(`filter.${index}.values`)}
      />
      <Button variant="default" aria-label={`Remove ${name}`} onClick={() => form.removeListItem('filter', index)}>
        Remove
      </Button>
    </Group>
  );
}
