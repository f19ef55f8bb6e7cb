import { type GraphQLScalarType, GraphQLError, Kind, type ValueNode } from 'graphql';
import { DateTimeResolver, EmailAddressResolver, SafeIntResolver, TimeZoneResolver } from 'graphql-scalars';
import { isLongNumber } from '../../lib/long-numbers.ts';
import { DoubleValue } from '../../streams/pipeline/inputs.ts';
import { formatTimestamp } from '../../lib/timestamps.ts';
import type { Builder } from './builder.ts';

// Input scalars check the JSON type alone; syntax and range are rules of the input, so that all problems are told at
// once, each at its field.

const wrongType = (name: string, expected: string): GraphQLError =>
  new GraphQLError(`${name} takes ${expected}.`, { extensions: { code: 'BAD_USER_INPUT' } });

const readString =
  (name: string) =>
  (value: unknown): string => {
    if (typeof value !== 'string') throw wrongType(name, 'a string');
    return value;
  };

const readStringLiteral =
  (name: string) =>
  (node: ValueNode): string => {
    if (node.kind !== Kind.STRING) throw wrongType(name, 'a string');
    return node.value;
  };

const writeString =
  (name: string) =>
  (value: unknown): string => {
    if (typeof value !== 'string') throw new GraphQLError(`${name} is no string.`);
    return value;
  };

const specifiedBy = (resolver: GraphQLScalarType): string | null => resolver.specifiedByURL ?? null;

export const addScalars = (builder: Builder): void => {
  const text = (
    name: 'AgoDuration' | 'CronExpression' | 'TimeZone' | 'EmailAddress',
    description: string,
    url: string | null = null,
  ): void => {
    builder.scalarType(name, {
      description,
      ...(url !== null && { specifiedByURL: url }),
      serialize: writeString(name),
      parseValue: readString(name),
      parseLiteral: readStringLiteral(name),
    });
  };
  text(
    'AgoDuration',
    'A duration before a moment: `ago(7d)`, with a positive integer and d (calendar days at the same wall time), h or m (elapsed time).',
  );
  text(
    'CronExpression',
    'Five fields of a standard crontab: minute, hour, day of month, month, day of week. No seconds, no `@daily`, no `L`.',
  );
  text(
    'TimeZone',
    'A name in the IANA time zone database, links included: `Europe/Berlin`, `US/Eastern`, `Etc/UTC`. Matched in any case and kept in the spelling of the database. Offsets and abbreviations that are not names in it are rejected.',
    specifiedBy(TimeZoneResolver),
  );
  text('EmailAddress', 'One e-mail address.', specifiedBy(EmailAddressResolver));
  builder.scalarType('DateTime', {
    description: 'A moment in RFC 3339 form with a zone, such as `2026-01-25T00:00:00Z`. Answers are in UTC with `Z`.',
    ...(specifiedBy(DateTimeResolver) !== null && { specifiedByURL: specifiedBy(DateTimeResolver) }),
    serialize: (value) => {
      if (value instanceof Date) return formatTimestamp(value);
      throw new GraphQLError('DateTime is no date.');
    },
    parseValue: readString('DateTime'),
    parseLiteral: readStringLiteral('DateTime'),
  });
  builder.scalarType('Decimal', {
    description:
      'An exact decimal. Answers are strings in plain notation without trailing zeros. Takes a string or a number; a number in the variables is a double by the time it arrives, so more than 15 significant digits there are refused with PRECISION_LOST: send a string.',
    serialize: writeString('Decimal'),
    parseValue: (value) => {
      if (typeof value === 'string') return value;
      if (typeof value === 'number') return new DoubleValue(value);
      if (isLongNumber(value)) return new DoubleValue(Number.NaN);
      throw wrongType('Decimal', 'a string or a number');
    },
    // Literals in the document keep the digits that were written.
    parseLiteral: (node) => {
      if (node.kind === Kind.STRING || node.kind === Kind.INT || node.kind === Kind.FLOAT) return node.value;
      throw wrongType('Decimal', 'a string or a number');
    },
  });
  builder.scalarType('SafeInt', {
    description: 'An integer within 2^53, exact in every JSON reader: counts, bytes, epoch seconds.',
    ...(specifiedBy(SafeIntResolver) !== null && { specifiedByURL: specifiedBy(SafeIntResolver) }),
    serialize: (value) => SafeIntResolver.serialize(value),
    parseValue: (value) => {
      if (typeof value !== 'number') throw wrongType('SafeInt', 'a number');
      return value;
    },
    parseLiteral: (node) => {
      if (node.kind !== Kind.INT && node.kind !== Kind.FLOAT) throw wrongType('SafeInt', 'a number');
      return Number(node.value);
    },
  });
};
