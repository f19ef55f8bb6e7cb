import { Button, type MantineColorScheme, Menu, Stack, Text, useMantineColorScheme } from '@mantine/core';
import { useSession } from '../api/session-context.ts';
import { useViewer } from '../api/viewer.ts';
import { useAskToLeave } from '../ui/unsaved.tsx';

const SCHEMES: readonly { readonly value: MantineColorScheme; readonly label: string }[] = [
  { value: 'auto', label: 'System' },
  { value: 'light', label: 'Light' },
  { value: 'dark', label: 'Dark' },
];

/** Account, key and scopes of the session, the colour scheme, and the button that signs out. */
export function AccountMenu() {
  const { accountName, key } = useViewer();
  const { session } = useSession();
  const askToLeave = useAskToLeave();
  const signOut = async (): Promise<void> => {
    if (await askToLeave()) session.signOut();
  };
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  return (
    <Menu position="bottom-end" width={280} shadow="md" withInitialFocusPlaceholder={false}>
      <Menu.Target>
        <Button variant="subtle" color="gray" className="account" h={44} px="xs">
          <Stack gap={0} align="flex-end">
            <Text size="md" fw={500} lh={1.3} className="account-name">
              {accountName}
            </Text>
            <Text size="sm" c="dimmed" lh={1.3} className="account-name">
              {key.name} · {key.scopes.join(', ')}
            </Text>
          </Stack>
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>Account {accountName}</Menu.Label>
        <Menu.Label>
          Key {key.name} ({key.prefix}…), {key.scopes.join(', ')}
        </Menu.Label>
        <Menu.Divider />
        <Menu.Label>Colour scheme</Menu.Label>
        <Menu.RadioGroup value={colorScheme} onChange={(value) => setColorScheme(value as MantineColorScheme)}>
          {SCHEMES.map(({ value, label }) => (
            <Menu.RadioItem key={value} value={value}>
              {label}
            </Menu.RadioItem>
          ))}
        </Menu.RadioGroup>
        <Menu.Divider />
        <Menu.Item onClick={() => void signOut()}>Sign out in all tabs</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
