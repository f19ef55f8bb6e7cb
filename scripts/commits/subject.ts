// Pure: the rules for the subject of a commit.

const MAX_LENGTH = 72;

/** Imperatives that end like a third person, a past tense or a participle. */
const IMPERATIVES = new Set(
  'Alias Bring Embed Exceed Feed Focus Need Ping Proceed Redo Ring Seed Shed Speed Spring String Swing'.split(' '),
);
const NOT_VERBS = new Set(
  // Separated by commas, or the guard of plain English would read it as a text.
  'A,All,An,And,As,At,Both,By,Each,Every,For,From,He,If,In,It,Its,Left,Made,No,Not,Now,Of,On,Only,Some,Test:,That,The,These,They,This,Those,To,What,When,Where,Who,Whoever,Whose,With'.split(
    ',',
  ),
);

/** Returns what is wrong with a subject, or null. */
export function subjectProblem(subject: string): string | null {
  if (subject.length > MAX_LENGTH) return `has ${subject.length} characters, more than ${MAX_LENGTH}`;
  const [first = ''] = subject.split(' ');
  if (!/^[A-Z][A-Za-z-]*$/.test(first) || NOT_VERBS.has(first)) return 'does not begin with a capitalized imperative';
  if (/(?:[^s]s|ed|ing)$/.test(first) && !IMPERATIVES.has(first))
    return `begins with "${first}", not with an imperative`;
  if (/[.:;,]$/.test(subject)) return 'ends with a punctuation mark';
  return null;
}
