import { type ReactNode, type SubmitEvent, useEffect, useId, useRef, useState } from 'react';
import { useMutation, useQuery } from 'urql';
import { JobPreview } from './job-preview.tsx';
import {
  CHECK_JOB,
  CREATE_JOB,
  type Issue,
  type JobCheck,
  type JobInput,
  LIST_STREAMS,
  type ErrorResult,
} from './operations.ts';
import { formatError, formatErrorResult, isErrorResult, issuesByField } from './format.ts';

/** The values of the form: everything is text, and empty fields are omitted. */
const EMPTY = {
  jobName: '',
  s3Url: '',
  format: 'CSV',
  aggregationBucket: 'DAY',
  range: 'ago(7d)',
  cron: '',
  timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  email: '',
  meterApiNames: [] as readonly string[],
  groupBy: ['element'] as readonly string[],
};
type Draft = typeof EMPTY;

const inputOf = (draft: Draft): JobInput => ({
  ...draft,
  cron: draft.cron.trim() || null,
  email: draft.email.trim() || null,
  meterApiNames: draft.meterApiNames.length > 0 ? [...draft.meterApiNames] : null,
  groupBy: draft.groupBy.length > 0 ? [...draft.groupBy] : null,
});

/** Defined outside of the component, because urql fetches again if it gets another object. */
const ABOUT_STREAMS = { additionalTypenames: ['Stream'] };

/** The check starts this long after the last keystroke. */
const DEBOUNCE_MS = 350;

type Result = JobCheck | ErrorResult;

/** Calls checkJob while the user types. Only the latest result is used. */
const useCheck = (draft: Draft, isWanted: boolean): { result: Result | null; problem: string | null } => {
  const [, checkJob] = useMutation(CHECK_JOB);
  const [checked, setChecked] = useState<{ result: Result | null; problem: string | null }>({
    result: null,
    problem: null,
  });
  const latest = useRef(0);
  useEffect(() => {
    const request = (latest.current += 1);
    if (!isWanted) return setChecked({ result: null, problem: null });
    const timer = setTimeout(async () => {
      const { data, error } = await checkJob({ input: inputOf(draft) });
      if (latest.current !== request) return;
      setChecked({ result: data?.checkJob ?? null, problem: error ? formatError(error) : null });
    }, DEBOUNCE_MS);
    return () => clearTimeout(timer);
  }, [draft, isWanted, checkJob]);
  return checked;
};

export const CreateJobForm = () => {
  const [{ data: known }] = useQuery({ query: LIST_STREAMS, context: ABOUT_STREAMS });
  const [{ fetching }, createJob] = useMutation(CREATE_JOB);
  const [draft, setDraft] = useState<Draft>(EMPTY);
  /** Fields that the user has changed. Other fields show no issues yet. */
  const [touched, setTouched] = useState<ReadonlySet<string>>(new Set());
  const [outcome, setOutcome] = useState<{ message: string; isGood: boolean } | null>(null);
  const { result, problem } = useCheck(draft, touched.size > 0);

  const streams = known?.streams.edges.map(({ node }) => node) ?? [];
  const chosen = streams.filter(({ name }) => draft.meterApiNames.length === 0 || draft.meterApiNames.includes(name));
  const dimensions = [...new Set(['element', ...chosen.flatMap((stream) => stream.dimensions), ...draft.groupBy])];

  const issues = result?.__typename === 'ValidationError' ? result.issues : [];
  const byField = issuesByField(issues);
  const shownAt = (field: string): readonly Issue[] => (touched.has(field) ? (byField.get(field) ?? []) : []);
  /** Issues of fields that this form does not have, and of the whole input. */
  const elsewhere = issues.filter(({ path }) => !(path[1] !== undefined && path[1] in EMPTY));

  const set = (patch: Partial<Draft>) => {
    setDraft((before) => ({ ...before, ...patch }));
    setTouched((before) => new Set([...before, ...Object.keys(patch)]));
    setOutcome(null);
  };

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const { data, error } = await createJob({ input: inputOf(draft) });
    if (!data) return setOutcome({ message: error ? formatError(error) : 'The response has no data.', isGood: false });
    if (isErrorResult(data.createJob)) {
      // The check that follows shows each issue at its field.
      setTouched(new Set(Object.keys(EMPTY)));
      return setOutcome({ message: formatErrorResult(data.createJob), isGood: false });
    }
    setDraft(EMPTY);
    setTouched(new Set());
    setOutcome({ message: `${data.createJob.jobName} was created.`, isGood: true });
  };

  const text = (field: 'jobName' | 's3Url' | 'range' | 'cron' | 'timeZone' | 'email', placeholder: string) => ({
    type: 'text',
    value: draft[field],
    placeholder,
    autoComplete: 'off',
    spellCheck: false,
    onChange: (event: { target: { value: string } }) => set({ [field]: event.target.value }),
    onBlur: () => setTouched((before) => (draft[field] === EMPTY[field] ? before : new Set(before).add(field))),
  });
  const choice = (field: 'format' | 'aggregationBucket') => ({
    value: draft[field],
    onChange: (event: { target: { value: string } }) => set({ [field]: event.target.value }),
  });

  return (
    <section className="card" aria-labelledby="new-job">
      <h2 id="new-job">New job</h2>
      <div className="columns">
        <form onSubmit={(event) => void submit(event)} noValidate>
          <Field label="Name" issues={shownAt('jobName')}>
            {(attributes) => <input {...text('jobName', 'Daily usage')} {...attributes} />}
          </Field>
          <Field label="Destination" hint="Bucket and path" issues={shownAt('s3Url')}>
            {(attributes) => <input {...text('s3Url', 's3://bucket/path')} {...attributes} />}
          </Field>
          <div className="pair">
            <Field label="Format" issues={shownAt('format')}>
              {(attributes) => (
                <select {...choice('format')} {...attributes}>
                  <option value="CSV">CSV</option>
                  <option value="JSON">JSON</option>
                  <option value="NDJSON">NDJSON</option>
                </select>
              )}
            </Field>
            <Field label="Aggregated by" issues={shownAt('aggregationBucket')}>
              {(attributes) => (
                <select {...choice('aggregationBucket')} {...attributes}>
                  <option value="HOUR">Hour</option>
                  <option value="DAY">Day</option>
                  <option value="WEEK">Week</option>
                  <option value="MONTH">Month</option>
                </select>
              )}
            </Field>
          </div>
          <div className="pair">
            <Field label="Range" hint="How far back" issues={shownAt('range')}>
              {(attributes) => <input {...text('range', 'ago(7d)')} {...attributes} />}
            </Field>
            <Field label="Cron" hint="Empty: once, immediately" issues={shownAt('cron')}>
              {(attributes) => <input {...text('cron', '0 2 * * *')} {...attributes} />}
            </Field>
          </div>
          <div className="pair">
            <Field label="Time zone" issues={shownAt('timeZone')}>
              {(attributes) => <input {...text('timeZone', 'Europe/Berlin')} {...attributes} />}
            </Field>
            <Field label="Email" hint="Notified about each run" issues={shownAt('email')}>
              {(attributes) => <input {...text('email', 'ops@example.com')} {...attributes} />}
            </Field>
          </div>
          <Choices
            label="Streams"
            hint="None: all streams"
            names={streams.map(({ name }) => name)}
            chosen={draft.meterApiNames}
            issues={shownAt('meterApiNames')}
            onChange={(meterApiNames) => set({ meterApiNames })}
          />
          <Choices
            label="Grouped by"
            hint="Columns of the file"
            names={dimensions}
            chosen={draft.groupBy}
            issues={shownAt('groupBy')}
            onChange={(groupBy) => set({ groupBy })}
          />
          {elsewhere.map((issue) => (
            <p className="issue" key={issue.path.join('.') + issue.code}>
              {issue.path.slice(1).join('.')}: {issue.message}
            </p>
          ))}
          {outcome && (
            <p className={outcome.isGood ? 'banner good' : 'banner bad'} role={outcome.isGood ? 'status' : 'alert'}>
              {outcome.message}
            </p>
          )}
          <button type="submit" disabled={fetching}>
            {draft.cron.trim() === '' ? 'Create and run' : 'Create'}
          </button>
        </form>
        <JobPreview result={result} problem={problem} format={draft.format} />
      </div>
    </section>
  );
};

interface FieldProps {
  label: string;
  hint?: string;
  issues: readonly Issue[];
  children: (attributes: { id: string; 'aria-invalid': boolean; 'aria-describedby': string }) => ReactNode;
}

const Field = ({ label, hint, issues, children }: FieldProps) => {
  const id = useId();
  const isWrong = issues.length > 0;
  return (
    <div className={isWrong ? 'field wrong' : 'field'}>
      <label htmlFor={id}>{label}</label>
      {children({ id, 'aria-invalid': isWrong, 'aria-describedby': `${id}-words` })}
      <Words id={`${id}-words`} hint={hint} issues={issues} />
    </div>
  );
};

/** All that is wrong with a field, or else how to fill it in. */
const Words = ({ id, hint, issues }: { id?: string; hint: string | undefined; issues: readonly Issue[] }) => (
  <div id={id}>
    {issues.map((issue) => (
      <p className="issue" key={issue.path.join('.') + issue.code}>
        {issue.message}
      </p>
    ))}
    {issues.length === 0 && hint !== undefined && <p className="hint">{hint}</p>}
  </div>
);

interface ChoicesProps {
  label: string;
  hint: string;
  names: readonly string[];
  chosen: readonly string[];
  issues: readonly Issue[];
  onChange: (chosen: readonly string[]) => void;
}

/** Checkboxes that keep the order of selection, which is the order of the columns in the file. */
const Choices = ({ label, hint, names, chosen, issues, onChange }: ChoicesProps) => (
  <fieldset className={issues.length > 0 ? 'field wrong' : 'field'}>
    <legend>{label}</legend>
    <div className="chips">
      {names.length === 0 && <span className="hint">None yet.</span>}
      {names.map((name) => (
        <label key={name} className="chip">
          <input
            type="checkbox"
            checked={chosen.includes(name)}
            onChange={({ target }) =>
              onChange(target.checked ? [...chosen, name] : chosen.filter((other) => other !== name))
            }
          />
          {name}
        </label>
      ))}
    </div>
    <Words hint={hint} issues={issues} />
  </fieldset>
);
