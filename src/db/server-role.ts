import pg from 'pg';

/** The role that Sluice connects as. It is not a superuser, because superusers bypass row-level security. */
const ROLE = 'sluice_server';

/**
 * Makes a plain role the owner of an embedded database at its first start, and returns the connection string of the role. Returns
 * `url` if the database has tables of the superuser, from a version of Sluice that had no such role.
 *
 * @param url of the superuser; the role gets the same password
 */
export async function ensureServerRole(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ made: boolean; used: boolean }>(
      `SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '${ROLE}') AS made, to_regclass('public.accounts') IS NOT NULL AS used`,
    );
    const [found] = rows;
    if (found?.used && !found.made) return url;
    const plain = new URL(url);
    plain.username = ROLE;
    if (!found?.made) {
      await client.query(
        `CREATE ROLE ${ROLE} LOGIN PASSWORD ${client.escapeLiteral(plain.password)}; ALTER DATABASE postgres OWNER TO ${ROLE}`,
      );
    }
    return plain.href;
  } finally {
    await client.end();
  }
}
