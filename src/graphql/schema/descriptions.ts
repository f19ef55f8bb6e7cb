// Pure: descriptions that several elements of the schema share.

export const GLOBAL_ID = 'Opaque global id. Stable, and safe in a URL.';

export const SEARCH = 'Text that the name must contain, ignoring case. Matches every name if omitted or null.';

export const RUN_STATUS_FILTER = 'Statuses of the runs. Every status if omitted or null.';
