import type { UseFormReturnType } from '@mantine/form';
import { createContext, use } from 'react';
import type { JobValues } from './job-values.ts';

export interface JobFormState {
  readonly form: UseFormReturnType<JobValues>;
  /** Messages by field. */
  readonly issues: Readonly<Record<string, string>>;
}

export const FormContext = createContext<JobFormState | null>(null);

export function useJobForm(): JobFormState {
  const state = use(FormContext);
  if (state === null) throw new Error('useJobForm() is called outside of the form of a job.');
  return state;
}

type Field = keyof JobValues | `filter.${number}.${'dimension' | 'values'}`;

/** Returns the properties of an input: its value, its handlers and the issue at it. */
export function useField(name: Field, type: 'input' | 'checkbox' = 'input') {
  const { form, issues } = useJobForm();
  // The focus would count as a change, and show the issues of an empty form.
  const { onFocus: _, ...properties } = form.getInputProps(name, { type });
  return { ...properties, error: issues[name] ?? null };
}
