import { Button, Menu, SegmentedControl, Stack, Text, useMantineColorScheme } from '@mantine/core';
import { useSession } from '../api/session-context.ts';
import { useViewer } from '../api/viewer.ts';

/** Account, key and scopes of the session, the colour scheme, and the button that signs out. */
export function AccountMenu() {
  const { accountName, key } = useViewer();
  const { session } = useSession();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  return (
    <Menu position="bottom-end" width={280} shadow="md">
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
        <SegmentedControl
          fullWidth
          aria-label="Colour scheme"
          value={colorScheme}
          onChange={(value) => setColorScheme(value)}
          data={[
            { value: 'auto', label: 'System' },
            { value: 'light', label: 'Light' },
            { value: 'dark', label: 'Dark' },
          ]}
        />
        <Menu.Divider />
        <Menu.Item onClick={() => session.signOut()}>Sign out in all tabs</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
