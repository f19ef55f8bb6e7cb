import { type SQL, sql } from 'drizzle-orm';
import { pgPolicy } from 'drizzle-orm/pg-core';

// The second lock behind the WHERE of each statement: row-level security by account. client.ts says in each transaction
// which account it is for. The migrations FORCE it, so that it holds for the owner of the tables too; superusers and
// roles with BYPASSRLS pass it all the same, so Sluice should connect as neither.

/** Set for the time of a transaction: the id of the account that it is for. Absent, no row of any account is seen. */
export const ACCOUNT_SETTING = 'sluice.account_id';
/** Set to `on` for the time of a transaction that is for all accounts: schedules, workers, the operator's commands. */
export const ALL_ACCOUNTS_SETTING = 'sluice.all_accounts';

/** Whether the role that asks passes row-level security. */
export const BYPASSES_RLS_SQL = 'SELECT rolsuper OR rolbypassrls AS passes FROM pg_roles WHERE rolname = current_user';

// As sub-selects, which are asked once for a statement and not for every row. And as functions, not operators: of
// `account_id = ...` the planner believes that it leaves one row in two hundred, or one in as many as there are accounts, on
// top of the WHERE that says the same; of `NOT int8ne(...)` it takes two thirds for granted.
const isOwn = (accountId: SQL) =>
  sql`NOT int8ne(${accountId}, (SELECT nullif(current_setting('${sql.raw(ACCOUNT_SETTING)}', true), '')::bigint))`;
const forAll = sql.raw(`NOT textne((SELECT current_setting('${ALL_ACCOUNTS_SETTING}', true)), 'on')`);

/** The policies of a table whose rows belong to the account in this column. */
export const ownedBy = (accountId: SQL) => [
  pgPolicy('own_account', { using: isOwn(accountId) }),
  pgPolicy('all_accounts', { using: forAll }),
];
