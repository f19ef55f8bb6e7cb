import { useState } from 'react';
import { useClient } from 'urql';
import { findProblem, type Problem } from '../../api/problem.ts';
import { type JobSettings, listChangedSettings, readSettings } from './job-values.ts';
import { CREATE_JOB, READ_JOB, type StoredJob, UPDATE_JOB } from './jobs-documents.ts';

export interface Saved {
  /** Id of the job; null if it was not saved. */
  readonly id: string | null;
  readonly problem: Problem | null;
  /** The job as another edit stored it in the meantime; null if there was none. */
  readonly newer: StoredJob | null;
}

/** Creates a job, or stores the settings that differ from the version that the edit is based on. */
export function useSaveJob() {
  const client = useClient();
  const [isSaving, setSaving] = useState(false);
  const write = async (settings: JobSettings, base: StoredJob | null): Promise<Saved> => {
    if (base === null) {
      const result = await client.mutation(CREATE_JOB, { input: settings }).toPromise();
      const job = result.data?.createJob;
      return { id: job?.__typename === 'Job' ? job.id : null, problem: findProblem(result), newer: null };
    }
    const { id, version } = base;
    const changed = listChangedSettings(readSettings(base), settings);
    const result = await client.mutation(UPDATE_JOB, { input: { id, version, ...changed } }).toPromise();
    const problem = findProblem(result);
    if (problem === null) return { id, problem, newer: null };
    if (problem.code !== 'CONFLICT') return { id: null, problem, newer: null };
    // The name or the destination may be in use too: only the version says whether there was another edit.
    const read = await client.query(READ_JOB, { id }, { requestPolicy: 'network-only' }).toPromise();
    const newest = read.data?.job ?? null;
    return { id: null, problem, newer: newest !== null && newest.version !== version ? newest : null };
  };
  const save = async (settings: JobSettings, base: StoredJob | null): Promise<Saved> => {
    setSaving(true);
    try {
      return await write(settings, base);
    } finally {
      setSaving(false);
    }
  };
  return { save, isSaving };
}
