import { useDebouncedValue } from '@mantine/hooks';
import { useEffect, useState } from 'react';
import { useClient } from 'urql';
import { findProblem, type Problem } from '../../api/problem.ts';
import { CHECK_JOB, type JobCheck } from './jobs-documents.ts';
import type { JobSettings } from './job-values.ts';

const TYPING_MS = 350;

export interface CheckState {
  /** The last preview; it stays while the settings are not valid. Null before the first one. */
  readonly check: JobCheck | null;
  /** Problem of the settings that were checked last. */
  readonly problem: Problem | null;
  /** Whether `check` and `problem` are those of other settings than the current ones. */
  readonly isOutdated: boolean;
}

/** Checks the settings while the user types. `id` is that of the job that would be changed. */
export function useJobCheck(settings: JobSettings, id: string | null): CheckState {
  const client = useClient();
  const current = JSON.stringify(settings);
  const [checked] = useDebouncedValue(current, TYPING_MS);
  const [state, setState] = useState<{ of: string; check: JobCheck | null; problem: Problem | null }>({
    of: '',
    check: null,
    problem: null,
  });
  useEffect(() => {
    let isCurrent = true;
    void client
      .mutation(CHECK_JOB, { id, input: JSON.parse(checked) as JobSettings })
      .toPromise()
      .then((result) => {
        if (!isCurrent) return;
        const answer = result.data?.checkJob;
        const problem = findProblem(result);
        setState((before) => ({
          of: checked,
          check: answer?.__typename === 'JobCheck' ? answer : before.check,
          problem,
        }));
      });
    return () => {
      isCurrent = false;
    };
  }, [client, checked, id]);
  return { check: state.check, problem: state.problem, isOutdated: state.of !== current };
}
