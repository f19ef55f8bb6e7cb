import pg from 'pg';

/** The role that Sluice connects as: no superuser, since those pass row-level security. */
const ROLE = 'sluice_server';

/**
 * Makes a plain role the owner of the database, at the first start. Answers its connection string; that of the superuser
 * where tables of his are there already, from before there was such a role.
 *
 * @param url of the superuser; the role has the same password
 */
export async function openPlainRole(url: string): Promise<string> {
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
