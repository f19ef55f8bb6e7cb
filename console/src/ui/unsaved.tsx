import { useEffect } from 'react';
import { useBlocker } from 'react-router';
import { useConfirm } from './confirm.tsx';

/** Asks before the user leaves a form with changes, within the console or to another address. The form does not change its address. */
export function useUnsavedChanges(hasChanges: boolean): void {
  const confirm = useConfirm();
  const blocker = useBlocker(
    ({ currentLocation: current, nextLocation: next }) =>
      hasChanges && (current.pathname !== next.pathname || current.search !== next.search),
  );
  useEffect(() => {
    if (blocker.state !== 'blocked') return;
    void confirm({
      title: 'Leave without saving?',
      body: 'The changes in this form are lost.',
      action: 'Leave',
      isDestructive: true,
    }).then((isConfirmed) => (isConfirmed ? blocker.proceed() : blocker.reset()));
  }, [blocker, confirm]);
  useEffect(() => {
    if (!hasChanges) return;
    const onLeave = (event: BeforeUnloadEvent): void => event.preventDefault();
    window.addEventListener('beforeunload', onLeave);
    return () => window.removeEventListener('beforeunload', onLeave);
  }, [hasChanges]);
}
