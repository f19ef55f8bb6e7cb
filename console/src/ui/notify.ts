import { notifications } from '@mantine/notifications';
import type { Problem } from '../api/problem.ts';

const CLOSE = { 'aria-label': 'Close' };

/** Shows a message that something is done. */
export function notifyDone(message: string): void {
  notifications.show({ message, color: 'green', withCloseButton: true, closeButtonProps: CLOSE });
}

/** Shows the message of a problem that belongs to no form, such as that of a button in a list. */
export function notifyProblem({ message }: Problem): void {
  notifications.show({ message, color: 'red', autoClose: false, withCloseButton: true, closeButtonProps: CLOSE });
}
