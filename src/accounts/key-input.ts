// Pure: the input that creates an API key, for the API and for the operator's command.
import { z } from 'zod';
import { hasControlCharacters } from '../lib/control-characters.ts';
import { withRules } from '../validation/zod-issues.ts';
import { type Scope, SCOPES } from './scopes.ts';

const MAX_NAME = 255;

const shape = z.object({
  name: z
    .string()
    .trim()
    .meta({ description: `Name by which the key is recognized in lists: 1 to ${MAX_NAME} characters.` }),
  scopes: z.array(z.enum(SCOPES)).meta({ description: 'Scopes of the key: at least one.' }),
});

export const apiKeyFields = shape.shape;

export const apiKeyInput = withRules(shape, ({ name, scopes }, _, issues) => {
  if (name.length === 0 || name.length > MAX_NAME) {
    issues.add(['name'], 'BAD_LENGTH', `Must have 1 to ${MAX_NAME} characters.`);
  } else if (hasControlCharacters(name)) {
    issues.add(['name'], 'CONTROL_CHARACTER', 'Must not contain control characters.');
  }
  if (scopes.length === 0) issues.add(['scopes'], 'NO_SCOPES', 'Must contain at least one scope.');
}).transform(({ name, scopes }) => ({ name, scopes: [...new Set(scopes)] }));

/** The checked input: a trimmed name, and each scope once. */
export interface ApiKeyInput {
  readonly name: string;
  readonly scopes: readonly Scope[];
}
