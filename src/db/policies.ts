import { type SQL, sql } from 'drizzle-orm';
import { pgPolicy } from 'drizzle-orm/pg-core';

// Row-level security by account, in addition to the WHERE of each statement. client.ts sets the account of each transaction. The
// migrations FORCE the policies, so that they apply to the owner of the tables too. Superusers and roles with BYPASSRLS still bypass
// them, so Sluice should connect as neither.

/** Set for a transaction to the id of its account. Without it no row of any account is visible. */
export const ACCOUNT_SETTING = 'sluice.account_id';
/** Set to `on` for a transaction that concerns all accounts: schedules, workers, the operator's commands. */
export const ALL_ACCOUNTS_SETTING = 'sluice.all_accounts';

/** Returns whether the role of the connection bypasses row-level security. */
export const BYPASSES_RLS_SQL = 'SELECT rolsuper OR rolbypassrls AS passes FROM pg_roles WHERE rolname = current_user';

// The settings are read by sub-selects, which are evaluated once for each statement instead of once for each row. The comparisons are
// functions instead of operators because of the planner's estimates: for `account_id = ...` it estimates one row in 200, or one in
// the number of accounts, on top of the WHERE with the same condition; for `NOT int8ne(...)` it estimates two thirds.
function isOwn(accountId: SQL) {
  return sql`NOT int8ne(${accountId}, (SELECT nullif(current_setting('${sql.raw(ACCOUNT_SETTING)}', true), '')::bigint))`;
}

const forAll = sql.raw(`NOT textne((SELECT current_setting('${ALL_ACCOUNTS_SETTING}', true)), 'on')`);

/** The policies of a table whose rows belong to the account in this column. */
export function ownedBy(accountId: SQL) {
  return [pgPolicy('own_account', { using: isOwn(accountId) }), pgPolicy('all_accounts', { using: forAll })];
}
