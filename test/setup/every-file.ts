import { afterAll } from 'vitest';
import { dropForgottenDatabases } from '../support/postgres.ts';

// Registered before any hook of the file itself, so it runs after all of them.
afterAll(dropForgottenDatabases);
