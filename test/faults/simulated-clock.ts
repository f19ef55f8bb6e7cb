import pg from 'pg';

/** The clock of one database, set by the test. It stands still in between. */
export interface SimulatedClock {
  set(at: Date): Promise<void>;
  close(): Promise<void>;
}

/**
 * Gives a database a clock of the test's own, which says `start` at first. The schedule goes by the database's clock alone, so that is the one to be set:
 * a function of the same name that is found first. Sessions that are there already keep the real one. The queue's own
 * messages go by now(), which stays as it is.
 */
export const simulateClock = async (url: string, start: Date): Promise<SimulatedClock> => {
  const client = new pg.Client({ connectionString: url, application_name: 'sluice-tests' });
  await client.connect();
  await client.query(`
    CREATE SCHEMA simulated;
    GRANT USAGE ON SCHEMA simulated TO public;
    CREATE TABLE simulated.clock (at timestamptz NOT NULL);
    GRANT SELECT ON simulated.clock TO public;
    CREATE FUNCTION simulated.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
      AS 'SELECT at FROM simulated.clock';`);
  await client.query('INSERT INTO simulated.clock VALUES ($1)', [start]);
  const { rows } = await client.query<{ name: string }>('SELECT current_database() AS name');
  // pg_catalog has the real one, and is looked at first where it is not named.
  await client.query(`ALTER DATABASE "${rows[0]?.name}" SET search_path = simulated, pg_catalog, public`);
  return {
    set: async (at) => void (await client.query('UPDATE simulated.clock SET at = $1', [at])),
    close: () => client.end(),
  };
};
