import type { JobCheck, Refusal } from './operations.ts';
import { moment, period, wordsOfRefusal } from './words.ts';

interface JobPreviewProps {
  answer: JobCheck | Refusal | null;
  problem: string | null;
  format: string;
}

/** What a run now would write. */
export const JobPreview = ({ answer, problem, format }: JobPreviewProps) => (
  <aside className="preview" aria-label="Preview" aria-live="polite">
    <h3>Preview</h3>
    {problem !== null && <p className="banner bad">{problem}</p>}
    {problem === null && answer === null && <p className="hint">Of what a run now would write, while you type.</p>}
    {answer?.__typename === 'JobCheck' && <Check check={answer} format={format} />}
    {answer !== null && answer.__typename !== 'JobCheck' && (
      <p className={answer.__typename === 'ValidationError' ? 'hint' : 'banner bad'}>{wordsOfRefusal(answer)}</p>
    )}
  </aside>
);

const Check = ({ check, format }: { check: JobCheck; format: string }) => {
  const { query, nextRuns, objectKeys, sample, warnings } = check;
  const header = ['meterApiName', 'bucketStart', 'bucketEnd', ...query.groupBy, 'value'].join(',');
  return (
    <>
      {warnings.map((warning) => (
        <p className="banner odd" key={warning}>
          {warning}
        </p>
      ))}
      <dl>
        <dt>Window</dt>
        <dd>{period(query.windowStart, query.windowEnd)}</dd>
        <dt>Streams</dt>
        <dd>{query.meterApiNames.join(', ') || 'none yet'}</dd>
        <dt>Next</dt>
        <dd>{nextRuns.length > 0 ? nextRuns.slice(0, 3).map(moment).join(' · ') : 'at once, this one time'}</dd>
        <dt>Objects</dt>
        <dd>
          {objectKeys.map((key) => (
            <code key={key}>{key}</code>
          ))}
        </dd>
      </dl>
      <h4>First rows</h4>
      {sample.length > 0 ? (
        <pre className="rows">{[...(format === 'CSV' ? [header] : []), ...sample].join('\n')}</pre>
      ) : (
        <p className="hint">No usage in this window.</p>
      )}
      <details>
        <summary>SELECT</summary>
        <pre>{query.sql}</pre>
      </details>
    </>
  );
};
