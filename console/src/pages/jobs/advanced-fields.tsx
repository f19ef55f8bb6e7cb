import { Accordion, Group, Text } from '@mantine/core';
import { useState } from 'react';
import { BucketFields, CorrectionFields, FileFields, NoticeFields, WindowFields } from './advanced-groups.tsx';
import { FilterFields } from './filter-fields.tsx';
import { useJobForm } from './form-context.ts';
import { findGroups, GROUPS, type GroupName, summarize } from './setting-groups.ts';

const CONTENTS: Readonly<Record<GroupName, () => React.JSX.Element>> = {
  filter: FilterFields,
  file: FileFields,
  window: WindowFields,
  corrections: CorrectionFields,
  bucket: BucketFields,
  notice: NoticeFields,
};

/** Settings that a daily job can leave at their defaults. A group opens if one of its fields has an issue. */
export function AdvancedFields() {
  const { form, issues } = useJobForm();
  const [opened, setOpened] = useState<string[]>([]);
  const failing = findGroups(Object.keys(issues));
  return (
    <Accordion
      multiple
      variant="contained"
      order={2}
      value={[...new Set([...opened, ...failing])]}
      onChange={setOpened}
      transitionDuration={0}
    >
      {GROUPS.map(({ name, title }) => {
        const Content = CONTENTS[name];
        return (
          <Accordion.Item key={name} value={name}>
            <Accordion.Control>
              <Group gap="sm">
                {title}
                <Text size="sm" c="dimmed" component="span">
                  {summarize(name, form.values)}
                </Text>
              </Group>
            </Accordion.Control>
            <Accordion.Panel>
              <Content />
            </Accordion.Panel>
          </Accordion.Item>
        );
      })}
    </Accordion>
  );
}
