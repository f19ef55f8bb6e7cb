import { type Finding, ok, warn } from './check-result.ts';

// What doctor says of the hosts beside the database that settings name.

/** A person waits for it. */
const ANSWER_MS = 5000;

/** Whether anything answers there: an S3 says 403 to who sends no key, and is there. */
export const checkStore = async (endpoint: string): Promise<Finding> => {
  const answer = await ask(endpoint, { method: 'GET', redirect: 'manual' });
  const { host } = new URL(endpoint);
  return 'problem' in answer
    ? warn(`the store of AWS_ENDPOINT_URL_S3, ${host}, cannot be reached (${answer.problem}): exports fail until then`)
    : ok(`${host} answers`);
};

/** Sends a collector an export without a span, which it takes as it takes others. */
export const checkCollector = async (url: string): Promise<Finding> => {
  const answer = await ask(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ resourceSpans: [] }),
    redirect: 'manual',
  });
  const { host, pathname } = new URL(url);
  if ('problem' in answer)
    return warn(`the collector ${host} cannot be reached (${answer.problem}): traces are lost until then`);
  return answer.status < 300
    ? ok(`the collector ${host} takes traces`)
    : warn(
        `the collector ${host} answers ${answer.status} to a POST of JSON at ${pathname}: is it one for OTLP over HTTP?`,
      );
};

const ask = async (
  url: string,
  request: RequestInit,
): Promise<{ readonly status: number } | { readonly problem: string }> => {
  try {
    const { status, body } = await fetch(url, { ...request, signal: AbortSignal.timeout(ANSWER_MS) });
    await body?.cancel();
    return { status };
  } catch (error) {
    return { problem: problemOf(error) };
  }
};

/** fetch says "fetch failed" to everything, and beneath it what it was. */
const problemOf = (error: unknown): string => {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') return at.code;
    if (at.name === 'TimeoutError') return `no answer within ${ANSWER_MS / 1000} s`;
  }
  return 'it cannot be asked over HTTP';
};
