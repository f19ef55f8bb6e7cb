// Evaluates bucket policies as AWS does, for the parts that Sluice and the tests use. Written from AWS's documentation of policies.

export interface PolicyRequest {
  readonly principalArn: string;
  readonly action: string;
  readonly bucket: string;
  readonly key: string;
  /** Values of the condition keys, such as s3:x-amz-acl; absent if the header was not sent. */
  readonly conditionKeys: Readonly<Record<string, string | undefined>>;
}

interface Statement {
  readonly Effect: 'Allow' | 'Deny';
  readonly Principal: '*' | { readonly AWS: string };
  readonly Action: string;
  readonly Resource: string;
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** Returns whether the policy allows the request, denies it explicitly, or does not mention it. */
export function evaluatePolicy(policy: string, request: PolicyRequest): 'allow' | 'deny' | 'implicit deny' {
  const { Version, Statement: statements } = JSON.parse(policy) as { Version: string; Statement: Statement[] };
  if (Version !== '2012-10-17') throw new Error('Without this version, ${*} is not an escape.');
  const matching = statements.filter((statement) => matches(statement, request));
  if (matching.some(({ Effect }) => Effect === 'Deny')) return 'deny';
  return matching.some(({ Effect }) => Effect === 'Allow') ? 'allow' : 'implicit deny';
}

function matches(statement: Statement, request: PolicyRequest): boolean {
  const { Principal: principal } = statement;
  return (
    (principal === '*' || principal.AWS === '*' || principal.AWS === request.principalArn) &&
    statement.Action === request.action &&
    matchesPattern(statement.Resource, `arn:aws:s3:::${request.bucket}/${request.key}`) &&
    Object.entries(statement.Condition ?? {}).every(([operator, keys]) =>
      Object.entries(keys).every(([key, expected]) => holds(operator, request.conditionKeys[key], expected)),
    )
  );
}

/** A negated operator is true if the key is absent. */
function holds(operator: string, actual: string | undefined, expected: string): boolean {
  if (operator === 'StringEquals') return actual === expected;
  if (operator === 'StringNotEquals') return actual !== expected;
  if (operator === 'Null') return (actual === undefined) === (expected === 'true');
  throw new Error(`The operator ${operator} is not implemented.`);
}

/** `*` is any text, `?` any character, and `${*}`, `${?}` and `${$}` are the characters themselves. */
function matchesPattern(pattern: string, text: string): boolean {
  const tokens = pattern.match(/\$\{[*?$]\}|\*|\?|[^*?$]+|\$/g) ?? [];
  const source = tokens.map((token) => {
    if (token === '*') return '.*';
    if (token === '?') return '.';
    const literal = token.startsWith('${') ? (token[2] ?? '') : token;
    return literal.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  });
  return new RegExp(`^${source.join('')}$`, 'su').test(text);
}
