import type { Scope } from '../../accounts/scopes.ts';
import { BadUserInputError } from '../../errors/errors.ts';
import type { Builder } from './builder.ts';
import type { GraphQLContext } from './context.ts';
import { parseBigintId, decodeGlobalId, type NodeType } from '../../lib/global-ids.ts';
import type { Refs } from './refs.ts';
import { forbidden } from './refused-callers.ts';

/**
 * Scopes of each node type. They are checked before the node is loaded: without the scope, every id of the type is FORBIDDEN,
 * so the response does not reveal which ids exist in other accounts.
 */
const NEEDED: Record<NodeType, readonly Scope[]> = {
  Stream: ['READ', 'INGEST'],
  AllocationOperation: ['READ', 'INGEST'],
  Job: ['READ'],
  Run: ['READ'],
  Delivery: ['READ'],
  Backfill: ['READ'],
  ApiKey: ['ADMIN'],
};

export function addNode(builder: Builder, refs: Refs): void {
  builder.queryFields((t) => ({
    node: t.field({
      type: refs.node,
      nullable: true,
      authScopes: { anyKey: true },
      description:
        'Object of the account by its global id. Null if there is none. The API key needs the scope of the type.',
      args: { id: t.arg.id({ required: true, description: 'Global id of the object.' }) },
      resolve: (_, { id }, context) => loadNode(id, context),
    }),
    nodes: t.field({
      type: [refs.node],
      nullable: { list: false, items: true },
      authScopes: { anyKey: true },
      description:
        'Objects of the account by their global ids, in the same order. Null for each id that does not exist. Up to 100 ids (`MAX_PAGE_SIZE`).',
      args: { ids: t.arg.idList({ required: true, description: 'Global ids of the objects.' }) },
      resolve: (_, { ids }, context) => {
        const { maxPage } = context.services.limits;
        if (ids.length > maxPage) throw new BadUserInputError(`Too many ids: ${ids.length}. Pass at most ${maxPage}.`);
        return Promise.all(ids.map((id) => loadNode(id, context)));
      },
    }),
  }));
}

async function loadNode(text: string, context: GraphQLContext): Promise<object | null> {
  const decoded = decodeGlobalId(text);
  if (!decoded) return null;
  const { type, id } = decoded;
  if (type === 'ApiKey' && id === context.principal?.key.id) return context.loaders.apiKeys.load(id);
  if (!NEEDED[type].some((scope) => context.scopes.has(scope))) throw forbidden(NEEDED[type]);
  switch (type) {
    case 'Stream':
      return context.loaders.streams.load(parseBigintId(id));
    case 'AllocationOperation':
      return context.loaders.operations.load(parseBigintId(id));
    case 'Job':
      return context.loaders.jobs.load(id);
    case 'Run':
      return context.loaders.runs.load(id);
    case 'Delivery':
      return context.loaders.deliveries.load(id);
    case 'Backfill':
      return context.loaders.backfills.load(id);
    case 'ApiKey':
      return context.loaders.apiKeys.load(id);
  }
}
