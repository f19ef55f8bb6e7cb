import pg from 'pg';

/** A statement as Postgres gets it. */
export interface SentStatement {
  /** With one blank where there were several. */
  readonly text: string;
  /** Of the connection. */
  readonly applicationName: string;
  /** Whether the transaction, or the session, was told to be for all accounts. */
  readonly acrossAccounts: boolean;
}

const SAYS_FOR_WHOM = /SET (?:LOCAL )?sluice\.(all_accounts|account_id)/gi;

interface Queried {
  readonly text?: string;
  readonly cursor?: { readonly text?: string };
}

const textOf = (config: unknown): string => {
  if (typeof config === 'string') return config;
  const { text, cursor } = (config ?? {}) as Queried;
  return text ?? cursor?.text ?? '';
};

/**
 * Hears every statement that this process sends through pg from now on, whoever made the connection. The text is what the
 * driver sends, so nothing that builds SQL can hide from it.
 */
export const hearStatements = (): { readonly heard: readonly SentStatement[]; stop(): void } => {
  const heard = new Map<string, SentStatement>();
  const across = new WeakMap<pg.Client, boolean>();
  const { prototype } = pg.Client;
  const original = prototype.query;
  const hearing = function (
    this: pg.Client & { connectionParameters: { application_name?: string } },
    ...args: unknown[]
  ) {
    const text = textOf(args[0]).replaceAll(/\s+/g, ' ').trim();
    for (const [, setting] of text.matchAll(SAYS_FOR_WHOM)) across.set(this, setting === 'all_accounts');
    const statement = {
      text,
      applicationName: this.connectionParameters.application_name ?? '',
      acrossAccounts: across.get(this) ?? false,
    };
    heard.set(JSON.stringify(statement), statement);
    return Reflect.apply(original, this, args) as unknown;
  };
  prototype.query = hearing as unknown as typeof original;
  return {
    get heard() {
      return [...heard.values()];
    },
    stop: () => {
      prototype.query = original;
    },
  };
};
