import { Code, Stack, Text } from '@mantine/core';
import { useSession } from '../api/session-context.ts';
import { CopyButton } from './copy.tsx';
import { Section } from './page.tsx';
import { listFirstCommands } from './first-commands-text.ts';

interface FirstCommandsProps {
  /** What the account does not have. */
  readonly title: string;
  readonly at: string;
}

/** Shown while the account has no usage: the commands that fill it. */
export function FirstCommands({ title, at }: FirstCommandsProps) {
  const { addresses } = useSession();
  const server = new URL(addresses.server, location.href).href.replace(/\/$/, '');
  return (
    <Section title={title}>
      <Text maw="75ch">
        Three commands fill it. Type them in the directory of Sluice. They read the key from the variable{' '}
        <code>API_KEY</code> or the option <code>--key-file</code>; in local mode they find it.
      </Text>
      <Stack component="ol" gap="lg" className="commands">
        {listFirstCommands(server, at).map(({ name, command }, index) => (
          <li key={name}>
            <Text fw={600}>{name}</Text>
            <Code block className="command" tabIndex={0} aria-label={name}>
              {command}
            </Code>
            <CopyButton text={command} name={`command ${index + 1}`} />
          </li>
        ))}
      </Stack>
    </Section>
  );
}
