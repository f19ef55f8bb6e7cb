import { bigint, customType, timestamp } from 'drizzle-orm/pg-core';

// Types of columns that the tables share.

export const bytea = customType<{ data: Buffer }>({ dataType: () => 'bytea' });
/** A 64-bit transaction id. Unlike xid it never wraps around, so it can be stored. */
export const xid8 = customType<{ data: string }>({ dataType: () => 'xid8' });
/** Sorted and compared bytewise, so that an export does not depend on the locale of the database. */
export const bytewiseText = customType<{ data: string }>({ dataType: () => 'text collate "C"' });
export const numeric = customType<{ data: string }>({ dataType: () => 'numeric' });
export const timestamptz = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' });
export const id64 = (name: string) => bigint(name, { mode: 'bigint' });
