// Checks of the HTTP endpoints that settings name.
import { type CheckResult, ok, warn } from './check-result.ts';

const RESPONSE_MS = 5000;

/** Warns if the S3 store does not respond. Any response will do: S3 returns 403 to a request without credentials. */
export async function checkStore(endpoint: string): Promise<CheckResult> {
  const response = await fetchStatus(endpoint, { method: 'GET' });
  const { host } = new URL(endpoint);
  return 'problem' in response
    ? warn(`the store ${host} (AWS_ENDPOINT_URL_S3) cannot be reached (${response.problem}): exports fail`)
    : ok(`${host} responds`);
}

/** Warns if the collector does not accept an OTLP export without spans. */
export async function checkCollector(url: string): Promise<CheckResult> {
  const response = await fetchStatus(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ resourceSpans: [] }),
  });
  const { host, pathname } = new URL(url);
  if ('problem' in response) {
    return warn(`the collector ${host} cannot be reached (${response.problem}): traces are lost`);
  }
  return response.status < 300
    ? ok(`the collector ${host} accepts traces`)
    : warn(
        `the collector ${host} responds with ${response.status} to a POST of JSON to ${pathname}. Does it accept OTLP over HTTP?`,
      );
}

async function fetchStatus(
  url: string,
  request: RequestInit,
): Promise<{ readonly status: number } | { readonly problem: string }> {
  try {
    const { status, body } = await fetch(url, {
      ...request,
      redirect: 'manual',
      signal: AbortSignal.timeout(RESPONSE_MS),
    });
    await body?.cancel();
    return { status };
  } catch (error) {
    return { problem: findReason(error) };
  }
}

/** Returns the system's code, such as ECONNREFUSED, which fetch puts into the cause of its error. */
function findReason(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && typeof cause.code === 'string') return cause.code;
    if (cause.name === 'TimeoutError') return `no response within ${RESPONSE_MS / 1000} s`;
  }
  return 'not an HTTP server';
}
