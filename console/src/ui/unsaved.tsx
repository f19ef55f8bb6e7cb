import { useCallback, useEffect } from 'react';
import { useBlocker } from 'react-router';
import { type Question, useConfirm } from './confirm.tsx';

const LEAVE: Question = {
  title: 'Leave without saving?',
  body: 'The changes in this form are lost.',
  action: 'Leave',
  isDestructive: true,
};

/** Forms with changes that the page shows. */
const changedForms = new Set<symbol>();

/** Returns a function that asks before something other than an address ends the forms with changes, and returns whether it may. */
export function useAskToLeave(): () => Promise<boolean> {
  const confirm = useConfirm();
  return useCallback(async () => changedForms.size === 0 || (await confirm(LEAVE)), [confirm]);
}

/** Asks before the user leaves a form with changes, within the console or to another address. The form does not change its address. */
export function useUnsavedChanges(hasChanges: boolean): void {
  const confirm = useConfirm();
  const blocker = useBlocker(
    ({ currentLocation: current, nextLocation: next }) =>
      hasChanges && (current.pathname !== next.pathname || current.search !== next.search),
  );
  useEffect(() => {
    if (blocker.state !== 'blocked') return;
    void confirm(LEAVE).then((isConfirmed) => (isConfirmed ? blocker.proceed() : blocker.reset()));
  }, [blocker, confirm]);
  useEffect(() => {
    if (!hasChanges) return;
    const form = Symbol('form');
    changedForms.add(form);
    const onLeave = (event: BeforeUnloadEvent): void => event.preventDefault();
    window.addEventListener('beforeunload', onLeave);
    return () => {
      changedForms.delete(form);
      window.removeEventListener('beforeunload', onLeave);
    };
  }, [hasChanges]);
}
