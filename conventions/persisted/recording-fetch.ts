/** A request, and the error code of its response. */
interface RecordedRequest {
  readonly method: string;
  readonly document: boolean;
  readonly id: boolean;
  readonly code: string | null;
}

interface Sent {
  readonly query?: string;
  readonly extensions?: { readonly persistedQuery?: { readonly sha256Hash?: string } };
}

const sentIn = (url: URL, body: unknown): Sent => {
  if (typeof body === 'string') return JSON.parse(body) as Sent;
  const { query, extensions } = Object.fromEntries(url.searchParams) as Record<string, string | undefined>;
  return { ...(query !== undefined && { query }), extensions: JSON.parse(extensions ?? '{}') as Sent['extensions'] };
};

export const requests: RecordedRequest[] = [];

/** Fetches and records each request of the client. */
export const recordingFetch: typeof fetch = async (input, init) => {
  const { query, extensions } = sentIn(new URL(input instanceof Request ? input.url : input), init?.body);
  const response = await fetch(input, init);
  const { errors } = (await response.clone().json()) as { errors?: { extensions?: { code?: string } }[] };
  requests.push({
    method: init?.method ?? 'GET',
    document: Boolean(query),
    id: extensions?.persistedQuery?.sha256Hash !== undefined,
    code: errors?.[0]?.extensions?.code ?? null,
  });
  return response;
};
