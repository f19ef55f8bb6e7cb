// Pure: where a request carries its key.

/** From `X-API-Key`, `Authorization: Bearer <key>` or `Authorization: <key>`; null where there is none. */
export const secretFrom = (
  apiKey: string | null | undefined,
  authorization: string | null | undefined,
): string | null => {
  if (apiKey) return apiKey.trim();
  if (!authorization) return null;
  const match = /^bearer\s+(.*)$/i.exec(authorization.trim());
  return (match?.[1] ?? authorization).trim() || null;
};

/** From the payload of connection_init, under the same names in any case. */
export const secretFromPayload = (payload: Readonly<Record<string, unknown>> | undefined): string | null => {
  const byName = new Map(Object.entries(payload ?? {}).map(([name, value]) => [name.toLowerCase(), value]));
  const text = (name: string): string | null => {
    const value = byName.get(name);
    return typeof value === 'string' ? value : null;
  };
  return secretFrom(text('x-api-key'), text('authorization'));
};
