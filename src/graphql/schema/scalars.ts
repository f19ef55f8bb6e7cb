import { type GraphQLScalarType, GraphQLError, Kind, type ValueNode } from 'graphql';
import { DateTimeResolver, EmailAddressResolver, SafeIntResolver, TimeZoneResolver } from 'graphql-scalars';
import { isLongNumber } from '../../lib/json-numbers.ts';
import { DoubleValue } from '../../lib/decimal.ts';
import { formatTimestamp } from '../../lib/timestamps.ts';
import type { Builder } from './builder.ts';

// Input scalars check the JSON type only. Syntax and range are rules of the input, so that one ValidationError reports all
// problems, each with the path of its field.

function createTypeError(name: string, expected: string): GraphQLError {
  return new GraphQLError(`${name} must be ${expected}.`, { extensions: { code: 'BAD_USER_INPUT' } });
}

function readString(name: string) {
  return (value: unknown): string => {
    if (typeof value !== 'string') throw createTypeError(name, 'a string');
    return value;
  };
}

function readStringLiteral(name: string) {
  return (node: ValueNode): string => {
    if (node.kind !== Kind.STRING) throw createTypeError(name, 'a string');
    return node.value;
  };
}

function writeString(name: string) {
  return (value: unknown): string => {
    if (typeof value !== 'string') throw new GraphQLError(`${name} is not a string.`);
    return value;
  };
}

const readSpecificationUrl = (resolver: GraphQLScalarType): string | null => resolver.specifiedByURL ?? null;

export function addScalars(builder: Builder): void {
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
    'Duration before a point in time, such as `ago(7d)`: a positive integer with d (calendar days at the same wall-clock time), h (hours) or m (minutes); maximum 36,500 days. The `range` of a job can also be a calendar range: `previous(day)`, `previous(week)`, `previous(month)`, `toDate(week)`, `toDate(month)` or `toDate(year)`.',
  );
  text(
    'CronExpression',
    'Standard crontab expression of five fields: minute, hour, day of month, month, day of week. Seconds, `@daily` and `L` are not supported.',
  );
  text(
    'TimeZone',
    'Name or link in the IANA time zone database, such as `Europe/Berlin`, `US/Eastern` or `Etc/UTC`. Case-insensitive; stored in the spelling of the database. Offsets, and abbreviations that the database does not contain, are rejected.',
    readSpecificationUrl(TimeZoneResolver),
  );
  text('EmailAddress', 'Email address such as ops@example.com.', readSpecificationUrl(EmailAddressResolver));
  builder.scalarType('DateTime', {
    description: 'RFC 3339 timestamp with an offset, such as `2026-01-25T00:00:00Z`. Returned in UTC with `Z`.',
    ...(readSpecificationUrl(DateTimeResolver) !== null && { specifiedByURL: readSpecificationUrl(DateTimeResolver) }),
    serialize: (value) => {
      if (value instanceof Date) return formatTimestamp(value);
      throw new GraphQLError('DateTime is not a Date.');
    },
    parseValue: readString('DateTime'),
    parseLiteral: readStringLiteral('DateTime'),
  });
  builder.scalarType('Decimal', {
    description:
      'Exact decimal. Returned as a string in plain notation without trailing zeros. Accepts a string or a number. A number in variables is parsed as a double, so one with more than 15 significant digits is rejected with PRECISION_LOST: send a string.',
    serialize: writeString('Decimal'),
    parseValue: (value) => {
      if (typeof value === 'string') return value;
      if (typeof value === 'number') return new DoubleValue(value);
      if (isLongNumber(value)) return new DoubleValue(Number.NaN);
      throw createTypeError('Decimal', 'a string or a number');
    },
    // A literal in the document keeps all its digits.
    parseLiteral: (node) => {
      if (node.kind === Kind.STRING || node.kind === Kind.INT || node.kind === Kind.FLOAT) return node.value;
      throw createTypeError('Decimal', 'a string or a number');
    },
  });
  builder.scalarType('SafeInt', {
    description:
      'Integer from -(2^53 - 1) to 2^53 - 1, which every JSON parser reads exactly. Used for counts, bytes and Unix timestamps.',
    ...(readSpecificationUrl(SafeIntResolver) !== null && { specifiedByURL: readSpecificationUrl(SafeIntResolver) }),
    serialize: (value) => SafeIntResolver.serialize(value),
    parseValue: (value) => {
      if (typeof value !== 'number') throw createTypeError('SafeInt', 'a number');
      return value;
    },
    parseLiteral: (node) => {
      if (node.kind !== Kind.INT && node.kind !== Kind.FLOAT) throw createTypeError('SafeInt', 'a number');
      return Number(node.value);
    },
  });
}
