import pg from 'pg';

/** The clock of one database, set by the test. It stands still in between. */
export interface SimulatedClock {
  /** Connection string for a server that goes by this clock. */
  urlFor(url: string): string;
  set(at: Date): Promise<void>;
  close(): Promise<void>;
}

/**
 * Gives a database a clock of the test's own, which shows `start` at first. The schedule uses the database's clock alone, so
 * the test replaces that with a function of the same name in a schema that is searched first. The queue's own messages use
 * now(), which stays as it is.
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
  return {
    urlFor: (url) => {
      const simulated = new URL(url);
      // pg_catalog has the real one, and is searched first unless the path names it.
      simulated.searchParams.set('options', '-c search_path=simulated,pg_catalog,public');
      return simulated.href;
    },
    set: async (at) => void (await client.query('UPDATE simulated.clock SET at = $1', [at])),
    close: () => client.end(),
  };
};
