import { Anchor, Box, Breadcrumbs, Group, Stack, Text, Title } from '@mantine/core';
import { type ReactNode, useEffect } from 'react';
import { Link } from 'react-router';

export interface PageProps {
  readonly title: string;
  /** One line below the title. */
  readonly description?: ReactNode;
  /** Pages above this one, from the top. */
  readonly parents?: readonly { readonly title: string; readonly to: string }[];
  /** Buttons at the right of the title. */
  readonly actions?: ReactNode;
  readonly children: ReactNode;
}

/** The frame of a page: its title, also that of the browser tab, the pages above it, actions and content. */
export function Page({ title, description, parents = [], actions, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · Sluice`;
  }, [title]);
  return (
    <Stack gap="lg">
      <Box>
        {parents.length > 0 && (
          <Breadcrumbs mb={4} separatorMargin={6}>
            {parents.map((parent) => (
              <Anchor key={parent.to} component={Link} to={parent.to} size="sm">
                {parent.title}
              </Anchor>
            ))}
            <Text size="sm" c="dimmed" className="breakable">
              {title}
            </Text>
          </Breadcrumbs>
        )}
        <Group justify="space-between" align="flex-start" gap="md">
          <Title order={1} className="breakable">
            {title}
          </Title>
          {actions !== undefined && <Group gap="xs">{actions}</Group>}
        </Group>
        {description !== undefined && (
          <Text c="dimmed" component="div">
            {description}
          </Text>
        )}
      </Box>
      {children}
    </Stack>
  );
}

interface SectionProps {
  readonly title: string;
  readonly actions?: ReactNode;
  readonly children: ReactNode;
}

/** A part of a page with a heading. */
export function Section({ title, actions, children }: SectionProps) {
  return (
    <Stack component="section" gap="sm" aria-label={title}>
      <Group justify="space-between">
        <Title order={2} size="h3">
          {title}
        </Title>
        {actions}
      </Group>
      {children}
    </Stack>
  );
}
