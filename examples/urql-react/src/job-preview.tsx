import type { JobCheck, ErrorResult } from './operations.ts';
import { formatTime, formatPeriod, formatErrorResult } from './format.ts';

interface JobPreviewProps {
  result: JobCheck | ErrorResult | null;
  problem: string | null;
  format: string;
}

/** Shows what a run would write now. */
export const JobPreview = ({ result, problem, format }: JobPreviewProps) => (
  <aside className="preview" aria-label="Preview" aria-live="polite">
    <h3>Preview</h3>
    {problem !== null && <p className="banner bad">{problem}</p>}
    {problem === null && result === null && <p className="hint">Shows what a run would write now, while you type.</p>}
    {result?.__typename === 'JobCheck' && <Check check={result} format={format} />}
    {result !== null && result.__typename !== 'JobCheck' && (
      <p className={result.__typename === 'ValidationError' ? 'hint' : 'banner bad'}>{formatErrorResult(result)}</p>
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
        <dd>{formatPeriod(query.windowStart, query.windowEnd)}</dd>
        <dt>Streams</dt>
        <dd>{query.meterApiNames.join(', ') || 'none yet'}</dd>
        <dt>Next</dt>
        <dd>{nextRuns.length > 0 ? nextRuns.slice(0, 3).map(formatTime).join(' · ') : 'once, immediately'}</dd>
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
