// Pure: writes the values of a statement as parameters or as literals.

/** Writes values into the SQL: as writeParameters parameters, or as literals for COPY, which takes no parameters. */
export interface ValueWriter {
  readonly parameters: string[];
  write(value: string, type: string): string;
}

export function writeParameters(): ValueWriter {
  const parameters: string[] = [];
  return { parameters, write: (value, type) => `$${parameters.push(value)}::${type}` };
}

/** Safe only while standard_conforming_strings is on, which is the default of PostgreSQL and set for every export. */
export function writeLiterals(): ValueWriter {
  return {
    parameters: [],
    write: (value, type) => `'${value.replaceAll("'", "''")}'::${type}`,
  };
}
