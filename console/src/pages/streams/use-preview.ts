import { useCallback, useRef, useState } from 'react';
import { useClient } from 'urql';
import type { VariablesOf } from '../../api/graphql.ts';
import { findProblem, type Problem } from '../../api/problem.ts';
import { type CorrectionPreview, PREVIEW_CORRECTION } from './streams-documents.ts';

type PreviewInput = VariablesOf<typeof PREVIEW_CORRECTION>['input'];

interface PreviewState {
  readonly preview: CorrectionPreview | null;
  /** Why the server rejects the write, or cannot preview it. */
  readonly problem: Problem | null;
  readonly isRunning: boolean;
}

const NONE: PreviewState = { preview: null, problem: null, isRunning: false };

/** Previews a write. The result is exact for its moment only, so it is never read from the cache. */
export function usePreview() {
  const client = useClient();
  const [state, setState] = useState(NONE);
  const newest = useRef(0);
  const clear = useCallback(() => {
    newest.current += 1;
    setState(NONE);
  }, []);
  const run = useCallback(
    async (input: PreviewInput): Promise<void> => {
      newest.current += 1;
      const own = newest.current;
      setState({ ...NONE, isRunning: true });
      const result = await client.query(PREVIEW_CORRECTION, { input }, { requestPolicy: 'network-only' }).toPromise();
      if (own !== newest.current) return;
      const found = result.data?.previewCorrection;
      const problem = findProblem(result);
      setState({
        // With a problem, the data may be that of an earlier preview.
        preview: problem === null && found?.__typename === 'CorrectionPreview' ? found : null,
        problem,
        isRunning: false,
      });
    },
    [client],
  );
  return { ...state, run, clear };
}
