// The costliest known texts for each parser, at any length.

export type Make = (bytes: number) => string;

/** Repeats the part as often as it fits between `before` and `after`. */
export const filled = (bytes: number, part: string, before = '', after = ''): string =>
  before + part.repeat(Math.max(1, Math.floor((bytes - before.length - after.length) / part.length))) + after;

/** Like `filled`, with a different part for each index. */
const listed = (bytes: number, partAt: (index: number) => string, before = '', after = '', separator = ','): string => {
  const parts: string[] = [];
  let left = bytes - before.length - after.length;
  for (let index = 0; left > 0; index += 1) {
    const part = partAt(index);
    parts.push(part);
    left -= part.length + separator.length;
  }
  return before + parts.join(separator) + after;
};

const nested = (bytes: number, open: string, inner: string, close: string, before = '', after = ''): string => {
  const depth = Math.floor((bytes - before.length - inner.length - after.length) / (open.length + close.length));
  return before + open.repeat(depth) + inner + close.repeat(depth) + after;
};

const several = (count: number, partAt: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => partAt(index)).join(' ');

/** A JSON string. */
export const string =
  (part: string, before = '', after = ''): Make =>
  (bytes) =>
    JSON.stringify(filled(bytes, part, before, after));

/** A JSON list of strings. */
export const strings =
  (part: (index: number) => string): Make =>
  (bytes) =>
    listed(bytes, (index) => JSON.stringify(part(index)), '[', ']');

/** A JSON string as ids and cursors are encoded. */
export const base64 =
  (part: string, before = '', after = ''): Make =>
  (bytes) =>
    JSON.stringify(Buffer.from(filled((bytes * 3) / 4, part, before, after)).toString('base64url'));

const zeros: Make = (bytes) => filled(bytes, '0', '1', '1');

/** A long text and many unknown names, each of which causes an error that quotes its context. */
const besideLongText = (name: string, unknown: (index: number) => string, separator: string): Make => {
  const others = Array.from({ length: 200 }, (_, index) => unknown(index)).join(separator);
  return (bytes) => `${name}:${string('a')(bytes)}${separator}${others}`;
};

export const JSON_TEXTS: Readonly<Record<string, Make>> = {
  'arrays in arrays': (bytes) => nested(bytes, '[', '', ']'),
  'objects in objects': (bytes) => nested(bytes, '{"a":', '0', '}'),
  'names repeated at each depth': (bytes) => nested(bytes, '[{"a":1,"a":', '0', '}]'),
  'names repeated below many arrays': (bytes) => nested(bytes, '[', filled(bytes / 2, '"a":1,', '{', '"a":1}'), ']'),
  'one name again and again': (bytes) => filled(bytes, '"a":1,', '{', '"a":1}'),
  'names repeated below a long name': (bytes) => `{${string('a')(bytes)}:{${'"a":1,'.repeat(200)}"a":1}}`,
  'many names': (bytes) => listed(bytes, (index) => `"n${index}":1`, '{', '}'),
  'many indexes as names': (bytes) => listed(bytes, (index) => `"${index * 7}":1`, '{', '}'),
  'one number of zeros': zeros,
  'blocks of zeros': (bytes) => listed(bytes, () => zeros(160_000), '[', ']'),
  'long numbers': (bytes) => filled(bytes, '12345678901234567890,', '[', '1]'),
  'large exponents': (bytes) => filled(bytes, '1e400,', '[', '1]'),
  'one long exponent': (bytes) => filled(bytes, '0', '[1e', ']'),
  'small numbers': (bytes) => filled(bytes, '0,', '[', '0]'),
  'quotes without end': (bytes) => filled(bytes, '"', '', '\\'),
  backslashes: string('\\'),
  blanks: (bytes) => filled(bytes, ' ', '[', ']'),
};

const TOKENS = 49_000;

export const DOCUMENTS: Readonly<Record<string, Make>> = {
  'lines before unknown fields': (bytes) => filled(bytes, '\n', '', `{${several(200, (i) => `unknown${i}`)}}`),
  'lines before conflicting fields': (bytes) =>
    filled(bytes, '\n', '', `{${'a:viewer{accountName} a:streams{totalCount} '.repeat(120)}}`),
  'unknown fields beside a long text': (bytes) =>
    `mutation{allocationSum(input:{${besideLongText('stream', (i) => `u${i}:1`, ' ')(bytes)}}){__typename}}`,
  comments: (bytes) => filled(bytes, '#\n', '', '{viewer{accountName}}'),
  commas: (bytes) => filled(bytes, ',', '{viewer{accountName}', '}'),
  'a long name': (bytes) => filled(bytes, 'a', '{', '}'),
  'a long string': (bytes) => filled(bytes, 'a', '{stream(name:"', '"){id}}'),
  'a string of escapes': (bytes) => filled(bytes, '\\u0041', '{stream(name:"', '"){id}}'),
  'a string without end': (bytes) => filled(bytes, '\\"', '{stream(name:"'),
  'a block string of lines': (bytes) => filled(bytes, '\n ', '{stream(name:"""', '"""){id}}'),
  'a block string of quotes': (bytes) => filled(bytes, '\\"""', '{stream(name:"""', '"""){id}}'),
  'a long integer': (bytes) => filled(bytes, '1', '{streams(first:', '){totalCount}}'),
  'a long decimal': (bytes) => filled(bytes, '0', '{streams(first:1.', '1){totalCount}}'),
  'selections in selections': (bytes) => nested(bytes, '{a', '', '}'),
  'lists in lists': (bytes) => nested(bytes, '[', '', ']', '{nodes(ids:', '){id}}'),
  'objects in objects': (bytes) => nested(bytes, '{a:', '1', '}', '{nodes(ids:', '){id}}'),
  'a long list': (bytes) => filled(bytes, '1 ', '{nodes(ids:[', ']){id}}'),
  'the same field with long arguments': (bytes) =>
    `{${`nodes(ids:["${'a'.repeat(Math.floor(bytes / 40))}"]){id}`.repeat(39)}}`,
  'the same field': (bytes) => filled(bytes, 'viewer{accountName}', '{', '}'),
  'fields under other names': (bytes) => listed(bytes, (i) => `a${i}:viewer{accountName}`, '{', '}', ' '),
  'fragments in a row': (bytes) => listed(bytes, (i) => `fragment f${i} on Query{...f${i + 1}}`, '{...f0} ', '', ' '),
  directives: (bytes) => filled(bytes, '@include(if:true)', '{viewer', '{accountName}}'),
  operations: (bytes) => listed(bytes, (i) => `query q${i}{viewer{accountName}}`, '', '', ' '),
  variables: (bytes) => listed(bytes, (i) => `$v${i}:Int`, 'query(', '){viewer{accountName}}', ' '),
  arguments: (bytes) => listed(bytes, (i) => `a${i}:1`, '{viewer(', '){accountName}}', ' '),
  'inline records': (bytes) =>
    filled(
      bytes,
      '{timestamp:"2026-01-25T00:00:00Z" granularity:DAILY elementName:"e" value:1}',
      'mutation{allocationSum(input:{stream:"worst" records:[',
      ']}){__typename}}',
    ),
};

/** Documents of any length just within the limit on tokens. Their validation must not take quadratic time. */
export const FULL_DOCUMENTS: Readonly<Record<string, string>> = {
  directives: filled((TOKENS / 6) * 17, '@include(if:true)', '{viewer', '{accountName}}'),
  variables: `query(${several(TOKENS / 4, (i) => `$v${i}:Int`)}){viewer{accountName}}`,
  arguments: `{viewer(${several(TOKENS / 3, (i) => `a${i}:1`)}){accountName}}`,
  ids: `{nodes(ids:[${'"a" '.repeat(TOKENS)}]){id}}`,
  'the same field with arguments': `{${`nodes(ids:[${'"a" '.repeat(90)}]){id}`.repeat(480)}}`,
  'operations that share fragments': `${several(300, (i) => `query q${i}($v:Int){...f}`)} fragment f on Query{${several(340, (i) => `...g${i}`)}} ${several(340, (i) => `fragment g${i} on Query{stream(name:"a"){id @skip(if:$v)}}`)}`,
};

const RECORD = '{"timestamp":"2026-01-25T00:00:00Z","granularity":"DAILY","element-name":"e","value":1';
const MIB = 1_000_000;

/** NDJSON. A line has at most 1 MiB. */
export const LINES: Readonly<Record<string, Make>> = {
  'open braces': (bytes) => filled(bytes, '{\n'),
  'braces and blanks': (bytes) => filled(bytes, '{ \n'),
  quotes: (bytes) => filled(bytes, '"\n'),
  backslashes: (bytes) => filled(bytes, '{\\\n'),
  'open filters': (bytes) => listed(bytes, (i) => `{"filter":{"a${i}`, '', '', '\n'),
  'timestamps before an open brace': (bytes) => listed(bytes, (i) => `{"timestamp":"${i}","filter":{`, '', '', '\n'),
  'names and blanks': (bytes) => filled(bytes, '{"timestamp"\n'),
  'records that miss their ends': (bytes) => listed(bytes, (i) => `${RECORD},"filter":{"a":["${i}"]`, '', '', '\n'),
  'records of other filters': (bytes) => listed(bytes, (i) => `${RECORD},"filter":{"a":["${i}"]},"x":1}`, '', '', '\n'),
  'records of other timestamps': (bytes) => listed(bytes, (i) => `${RECORD.replace('2026', `x${i}`)}}`, '', '', '\n'),
  'empty lines': (bytes) => filled(bytes, '\n'),
  'lines of blanks': (bytes) => filled(bytes, ' \n'),
  'one line': (bytes) => filled(bytes, ' '),
  'arrays in arrays': (bytes) => listed(bytes, () => nested(MIB, '[', '', ']'), '', '', '\n'),
  'names repeated at each depth': (bytes) => listed(bytes, () => nested(MIB, '[{"a":1,"a":', '0', '}]'), '', '', '\n'),
  'numbers of zeros': (bytes) => listed(bytes, () => `{"value":${zeros(MIB)}}`, '', '', '\n'),
  'many dimensions': (bytes) =>
    listed(bytes, () => listed(MIB, (index) => `"n${index}":1`, '{"filter":{', '}}'), '', '', '\n'),
};

/** Lists of records of a REST body. An invalid record takes 10 µs regardless of its length, so these lists are shorter. */
export const RECORD_LISTS: Readonly<Record<string, Make>> = {
  'unfinished records': (bytes) => filled(bytes / 10, '{"timestamp":"a"},', '['),
  'unknown fields': (bytes) => listed(bytes / 10, (i) => `{"a${i}":1}`, '[', ']'),
  'a long timestamp': (bytes) => `[${RECORD.replace('00Z', `00.${'0'.repeat(bytes)}Z`)}}]`,
  'a long value': (bytes) => `[${RECORD.replace(':1', `:${string('0', '0.', '1')(bytes)}`)}}]`,
  'a long element': (bytes) => `[${RECORD.replace('"e"', string('\u{1f600}')(bytes / 4))}}]`,
  'unknown fields beside a long text': (bytes) =>
    `[{${besideLongText('"element-name"', (i) => `"u${i}":1`, ',')(bytes)}}]`,
  'many values': (bytes) => `[${RECORD},"filter":{"d":${strings((i) => `v${i}`)(bytes)}}}]`,
  'the same value': (bytes) => `[${RECORD},"filter":{"d":${strings(() => 'v')(bytes)}}}]`,
  'values that are not strings': (bytes) => `[${RECORD},"filter":{"d":${filled(bytes, '0,', '[', '0]')}}}]`,
  'many dimensions': (bytes) => `[${RECORD},"filter":${listed(bytes, (index) => `"n${index}":1`, '{', '}')}}]`,
  'bad values of a long dimension': (bytes) =>
    `[${RECORD},"filter":{${string('d')(bytes)}:${strings(() => '')(3000)}}}]`,
};

const FIELDS = '"timestamp":"2026-01-25T00:00:00Z","granularity":"DAILY","elementName":"e","value":"1"';

/** Lists of records in variables. */
export const VARIABLE_RECORDS: Readonly<Record<string, Make>> = {
  'a long timestamp': (bytes) => `[{${FIELDS.replace('00Z', `00.${'0'.repeat(bytes)}Z`)}}]`,
  'a long value': (bytes) => `[{${FIELDS.replace('"1"', string('0', '0.', '1')(bytes))}}]`,
  'a long element': (bytes) => `[{${FIELDS.replace('"e"', string('\u{1f600}')(bytes / 4))}}]`,
  'unknown fields beside a long text': (bytes) =>
    `[{${besideLongText('"elementName"', (i) => `"u${i}":1`, ',')(bytes)}}]`,
  'many values': (bytes) => `[{${FIELDS},"filter":[{"dimension":"d","values":${strings((i) => `v${i}`)(bytes)}}]}]`,
  'many dimensions': (bytes) =>
    `[{${FIELDS},"filter":${listed(bytes, (i) => `{"dimension":"d${i}","values":[]}`, '[', ']')}}]`,
  'records that are not objects': (bytes) => filled(bytes, '0,', '[', '0]'),
};

/** Settings of a job: GraphQL type and JSON values. */
export const JOB_FIELDS: readonly (readonly [field: string, type: string, makes: readonly Make[]])[] = [
  ['cron', 'CronExpression', [string(' '), string(' a'), string('* ', '', '*'), string('1,')]],
  [
    's3Url',
    'String!',
    [string('a', 's3://'), string('.', 'a', ':'), string('a/', 's3://bucket/'), string('/', 's3://bucket/')],
  ],
  ['timeZone', 'TimeZone', [string('Europe/'), string('+')]],
  ['range', 'AgoDuration!', [string('9', 'ago(', 'd)')]],
  ['email', 'EmailAddress', [string('a.', 'a@'), string('a-', 'a@a', 'a'), string('@')]],
  ['jobName', 'String!', [string(' '), string('(')]],
  ['description', 'String', [string('\u{1f600}')]],
  ['bucketOwner', 'String', [string('1')]],
  ['scheduledTimeInSeconds', 'SafeInt', [zeros]],
  [
    'meterApiNames',
    '[String!]',
    [strings((i) => `s${i}`), strings(() => 's'), (bytes) => filled(bytes, '0,', '[', '0]')],
  ],
  ['groupBy', '[String!]', [strings((i) => `s${i}`), strings(() => '')]],
  [
    'rescaleFunction',
    'RescaleFunctionInput',
    [(bytes) => `{"function":"MULTIPLY","coefficient":${string('0', '1', '1')(bytes)}}`],
  ],
];

/** CSV files for `ingest`. A row takes 10 µs regardless of its length, so files of short rows are shorter. */
export const CSV_TEXTS: Readonly<Record<string, Make>> = {
  delimiters: (bytes) => filled(bytes, ','),
  quotes: (bytes) => filled(bytes, '"', 'timestamp,element,value\n'),
  'doubled quotes': (bytes) => filled(bytes, '""', 'timestamp,element,value\n"', '"'),
  'a quote that is never closed': (bytes) => filled(bytes, 'a,\n', 'timestamp,element,value\n"'),
  'quotes in rows': (bytes) => filled(bytes, '"a\n', 'timestamp,element,value\n'),
  'carriage returns': (bytes) => filled(bytes / 20, '\r', 'timestamp,element,value\n'),
  'empty rows': (bytes) => filled(bytes / 20, '\n', 'timestamp,element,value\n'),
  'bars and backslashes': (bytes) => filled(bytes / 5, '|\\', 'timestamp,element,value,d\n2026-01-25,e,1,', '\n'),
  'long values': (bytes) => filled(bytes / 5, '0', 'timestamp,element,value\n2026-01-25,e,1', '1\n'),
  'other rows': (bytes) => listed(bytes, (i) => `2026-01-25,e${i},1,v${i}`, 'timestamp,element,value,d\n', '\n', '\n'),
};
