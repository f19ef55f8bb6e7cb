// Lists the tables that each level of a statement (a SELECT, or the statement itself) reads or writes, and the functions
// that it calls.
import type { InsertStmt, Node, RangeVar, SelectStmt } from 'libpg-query';
import {
  accountOfInserted,
  named,
  namedAll,
  type NamedTable,
  type Queries,
  readFrom,
  tablesOf,
} from './named-accounts.ts';
import { calledBy, isTree, kindOf, parseStatements, type Tree } from './statement-tree.ts';

/** A query within a statement, without those that are nested in it. */
export interface Level {
  readonly tables: readonly NamedTable[];
  /** Functions in lower case, without schemas. Those of INSERT, UPDATE and DELETE are outside of sub-selects. */
  readonly calls: readonly string[];
}

export interface Statement {
  /** Kind of node, such as SelectStmt. */
  readonly kind: string;
  readonly node: Node;
  readonly levels: readonly Level[];
}

/** Parses the statements of one message. Throws if PostgreSQL would reject its syntax. */
export function parseMessage(text: string): readonly Statement[] {
  return parseStatements(text).map((node) => {
    const levels: MutableLevel[] = [];
    new LevelReader(levels).enter(node, new Map());
    return { kind: kindOf(node), node, levels };
  });
}

interface MutableLevel extends Level {
  readonly tables: NamedTable[];
  readonly calls: string[];
}

class LevelReader {
  readonly #levels: MutableLevel[];

  constructor(levels: MutableLevel[]) {
    this.#levels = levels;
  }

  /** Visits a node that is a statement or contains queries. */
  enter(node: Node, queries: Queries): void {
    if ('SelectStmt' in node) this.#select(node.SelectStmt, queries);
    else if ('InsertStmt' in node) this.#insert(node.InsertStmt, queries);
    else if ('UpdateStmt' in node) {
      const { withClause, relation, fromClause = [], whereClause, ...rest } = node.UpdateStmt;
      this.#change('UPDATE', { withClause, relation, from: fromClause, whereClause, rest }, queries);
    } else if ('DeleteStmt' in node) {
      const { withClause, relation, usingClause = [], whereClause, ...rest } = node.DeleteStmt;
      this.#change('DELETE', { withClause, relation, from: usingClause, whereClause, rest }, queries);
    } else if ('MergeStmt' in node) {
      const { withClause, relation, sourceRelation, joinCondition, ...rest } = node.MergeStmt;
      const from = sourceRelation ? [sourceRelation] : [];
      this.#change('MERGE', { withClause, relation, from, whereClause: joinCondition, rest }, queries);
    } else {
      const level = this.#open();
      if ('CopyStmt' in node && node.CopyStmt.relation) level.tables.push(named('COPY', node.CopyStmt.relation));
      if ('LockStmt' in node) level.tables.push(...namedAll('LOCK', node.LockStmt.relations));
      if ('TruncateStmt' in node) level.tables.push(...namedAll('TRUNCATE', node.TruncateStmt.relations));
      this.#descend(node, level, queries);
    }
  }

  #open(): MutableLevel {
    const level: MutableLevel = { tables: [], calls: [] };
    this.#levels.push(level);
    return level;
  }

  #with(clause: SelectStmt['withClause'], outer: Queries): Queries {
    const queries = new Map(outer);
    for (const cte of clause?.ctes ?? []) {
      if (!('CommonTableExpr' in cte)) continue;
      const { ctename = '', ctequery } = cte.CommonTableExpr;
      if (ctequery) queries.set(ctename, ctequery);
    }
    for (const cte of clause?.ctes ?? [])
      if ('CommonTableExpr' in cte && cte.CommonTableExpr.ctequery) this.enter(cte.CommonTableExpr.ctequery, queries);
    return queries;
  }

  #select({ withClause, larg, rarg, ...select }: SelectStmt, outer: Queries): void {
    const queries = this.#with(withClause, outer);
    if (larg && rarg) {
      this.#select(larg, queries);
      this.#select(rarg, queries);
    }
    const level = this.#open();
    const { sources, conditions } = readFrom(select.fromClause ?? [], select.whereClause, queries);
    level.tables.push(...tablesOf(sources, conditions));
    this.#descend(select, level, queries);
  }

  #change(
    verb: 'UPDATE' | 'DELETE' | 'MERGE',
    parts: {
      readonly withClause: SelectStmt['withClause'];
      readonly relation: RangeVar | undefined;
      readonly from: Node[];
      readonly whereClause: Node | undefined;
      readonly rest: object;
    },
    outer: Queries,
  ): void {
    const queries = this.#with(parts.withClause, outer);
    const level = this.#open();
    const target = parts.relation ? [{ RangeVar: parts.relation }] : [];
    const { sources, conditions } = readFrom([...target, ...parts.from], parts.whereClause, queries);
    const [first, ...others] = tablesOf(sources, conditions);
    if (first) level.tables.push({ ...first, verb }, ...others);
    this.#descend([parts.rest, parts.from, parts.whereClause], level, queries);
  }

  #insert({ withClause, relation, ...insert }: InsertStmt, outer: Queries): void {
    const queries = this.#with(withClause, outer);
    const level = this.#open();
    if (relation)
      level.tables.push({ ...named('INSERT', relation), account: accountOfInserted(insert, relation, queries) });
    this.#descend(insert, level, queries);
  }

  #descend(value: unknown, level: MutableLevel, queries: Queries): void {
    if (Array.isArray(value)) for (const one of value) this.#descend(one, level, queries);
    else if (isTree(value)) {
      for (const [key, child] of Object.entries(value)) {
        if (key === 'SelectStmt') {
          this.#select(child as SelectStmt, queries);
          continue;
        }
        const called = calledBy(key, child as Tree);
        if (called !== null) level.calls.push(called);
        this.#descend(child, level, queries);
      }
    }
  }
}
