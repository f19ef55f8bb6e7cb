// Pure: the words and constructions that this repository does not use, each with what to write instead.

/** Where a text was found. A title is the first argument of `describe` or `test`. */
export type TextKind = 'comment' | 'string' | 'title' | 'markdown' | 'description' | 'plain';

export interface ProseRule {
  readonly pattern: RegExp;
  /** What to write instead. */
  readonly advice: string;
  /** Kinds of text that the rule is for. Defaults to all. */
  readonly kinds?: readonly TextKind[];
  /** Texts that must be found, and texts that must not. The guard tests both. */
  readonly bad: readonly string[];
  readonly good?: readonly string[];
}

/** The begin of a sentence, of a table cell or of an item of a list. */
const START = String.raw`(?<=^\s*|[.!?]["'\x60)]?\s+|\n\s*(?:[-*#|]|\d+\.)+\s+|\|\s+|: )`;

/** A word or phrase, in any case, with any white space between its words. */
function phrase(text: string): RegExp {
  return new RegExp(String.raw`\b(?:${text.replaceAll(' ', String.raw`\s+`)})\b`, 'gi');
}

function opening(words: string): RegExp {
  return new RegExp(`${START}(?:${words})\\b`, 'g');
}

export const RULES: readonly ProseRule[] = [
  {
    pattern: phrase('told'),
    advice: 'reported, notified, returned',
    bad: ['Told of each try.', 'whoever is told of the run'],
  },
  {
    pattern: /\btell(?:s|ing)?\b(?!\s+(?:you|\w+(?:\s+\w+){0,4}?\s+apart|apart))/gi,
    advice: 'report, return, show, state',
    bad: ['It tells the rest.'],
    good: ['A 503 does not tell you whether the write committed.', 'to tell keys apart'],
  },
  {
    pattern: phrase('who(?:ever|mever|soever)'),
    advice: 'name the actor: client, user, caller',
    bad: ['Whoever asks'],
  },
  {
    pattern: /(?<=[,;:]\s+)whatever\b|\bwhatever\s+(?:it|is|was|they|came|comes|has|the)\b/gi,
    advice: 'regardless of, any',
    bad: ['the same bytes, whatever has come in since', 'whatever it is'],
    good: ['reads whatever file you pass'],
  },
  {
    pattern: phrase('how(?:ever|soever) (?:often|many|long|much|late|large|small|big|slow|few|deep|wide)'),
    advice: 'regardless of how, any number of',
    bad: ['a request counts once, however often it arrives'],
  },
  { pattern: phrase('reckon\\w*'), advice: 'compute', bad: ['Windows are reckoned from it.'] },
  {
    pattern: phrase('in (?:the|its|their|his) place(?: of)?'),
    advice: 'instead (of)',
    bad: ['In the place of an end.', 'another in its place'],
  },
  {
    pattern:
      /(?<!\bthere\s+(?:\w+\s+)?)\b(?:is|are|was|were|am)\s+no\b(?!-)(?!\s+(?:longer|later|earlier|one|other|more|less|fewer|better|worse)\b)(?=\s+\S)/gi,
    advice: 'negate the verb: is not a (valid) …',
    bad: ['"Berln" is no IANA time zone', 'and is no failure', 'These are no texts'],
    good: [
      'There is no such job.',
      'the lease is no longer held',
      'Cache-Control is no-store',
      'if there are no records',
      'is no later than',
    ],
  },
  {
    pattern: /(?<!\bthere\s+(?:\w+\s+)?)\b(?:is|are|was|were)\s+none\b/gi,
    advice: 'negate the verb: is not valid, does not exist',
    bad: ['The path in the bucket is none.'],
    good: ['if there are none'],
  },
  {
    pattern: /\bso\s+(?:many|much|long|few)\b(?!\s+(?:\w+\s+){0,12}that\b)(?!\s+as\b)/gi,
    advice: 'a number, the name of the setting, or "up to N"',
    bad: ['At most so many at once', 'not heard of for so long'],
    good: ['so many records that it fails', 'so long as it holds'],
  },
  { pattern: phrase('anew'), advice: 'again, or restart', bad: ['begins anew'] },
  { pattern: phrase('begun'), advice: 'started', bad: ['has begun'] },
  { pattern: phrase('for ever'), advice: 'forever, indefinitely', bad: ['kept for ever'] },
  { pattern: phrase('(?:come|comes|came|coming) again'), advice: 'retry', bad: ['told to come again'] },
  { pattern: phrase('let(?:s|ting)? go(?: of)?'), advice: 'release', bad: ['run let go of', 'It lets go.'] },
  { pattern: phrase('under way'), advice: 'in flight, active, running', bad: ['requests under way'] },
  {
    pattern: phrase('(?:held|holds?|holding) (?:\\w+ ){0,3}against'),
    advice: 'compare with',
    bad: ['What it was held against.'],
  },
  { pattern: phrase('mend(?:s|ed|ing)?'), advice: 'fix, repair', bad: ['mends the queue'], good: ['recommended'] },
  {
    pattern: /(?<!\b(?:is|are|was|were|be|not|of|for)\s+)\ball\s+the\s+same\b(?!\s+[a-z])/gi,
    advice: 'still, anyway',
    bad: ['the schema is no secret all the same.'],
    good: ['the values are all the same', 'all the same length'],
  },
  { pattern: phrase('by (?:itself|themselves)'), advice: 'automatically, or alone', bad: ['It goes on by itself.'] },
  {
    pattern: /\bmay\s+pass(?=\s*(?:[.,;:)]|$)|\s+(?:and|or|later|meanwhile)\b)/gi,
    advice: 'is transient',
    bad: ['a failure that may pass.'],
    good: ['you may pass a URL'],
  },
  { pattern: phrase('at once'), advice: 'immediately, or: concurrently, together', bad: ['runs once, at once'] },
  {
    pattern: phrase(
      '(?:stands?|stood|standing) (?:in|for|ready|there|behind|before|beside|on|at|twice|once|as|where|above|below|between)',
    ),
    advice: 'is, contains, represents',
    bad: ['A name stands twice in one object', 'The id stands for no document'],
    good: ['a standby in the cluster', 'Let a comment stand alone'],
  },
  { pattern: phrase('mis-?shapen'), advice: 'malformed, invalid', bad: ['misshapen records'] },
  { pattern: phrase('he|him|his|himself'), advice: 'they, or name the actor', bad: ['finds what he knows'] },
  { pattern: /\(a setting\)|\(settings?\)/gi, advice: 'the name of the setting', bad: ['1 to 10,000 (a setting)'] },
  { pattern: phrase('strangers?'), advice: 'unauthenticated client, another account', bad: ['what a stranger can do'] },
  {
    pattern: phrase('some(?:body|one)|any(?:body|one)|(?<!user |USER |")nobody|everybody'),
    advice: 'name the actor: a client, a user, the operator; or "no client", "nothing"',
    bad: ['before anybody listens', 'somebody changed it'],
    good: ['USER nobody'],
  },
  {
    pattern: /\bmoments?\b(?<!\bat\s+the\s+moment)/gi,
    advice: 'timestamp, instant, time',
    bad: ['in the same moment'],
    good: ['not supported at the moment'],
  },
  {
    pattern: phrase('(?:go|goes|went|gone|going) on(?! (?:the|a|an|to|with|in|disk))'),
    advice: 'continue, resume',
    bad: ['another one goes on from there'],
    good: ['labels go on the axis'],
  },
  {
    pattern: phrase('(?:is|are|was|were|be|been|being) (?:\\w+ )?away'),
    advice: 'unavailable, down, disconnected',
    bad: ['a database that is away', 'was still away'],
  },
  {
    pattern: phrase('(?:is|are|was|were|be) not (?:there|here)(?: yet)?|not there yet'),
    advice: 'does not exist, is missing',
    bad: ['where it is not there yet'],
  },
  { pattern: phrase('look(?:s|ed|ing)? after'), advice: 'manage, maintain', bad: ['looks after the queue'] },
  { pattern: phrase('hear(?:s|d)? of'), advice: 'is notified of; was reported', bad: ['Hears of every run'] },
  { pattern: phrase('in one go'), advice: 'in one batch, per tick', bad: ['read in one go'] },
  {
    pattern: phrase('(?:come|comes|came|coming|become|becomes|became) of'),
    advice: 'result from; happen to',
    bad: ['what no operation came of', 'whatever became of it'],
  },
  {
    pattern: phrase('a matter of(?! (?:seconds|minutes|hours))'),
    advice: 'depends on, is decided by',
    bad: ['is a matter of the proxy'],
  },
  { pattern: phrase('as far as'), advice: 'if, up to', bad: ['as far as it was read'] },
  {
    pattern: phrase('nothing of (?:it|them|that|this|the|its|their)'),
    advice: 'no, none of',
    bad: ['nothing of it is stored'],
  },
  {
    pattern: /(?<!\/)\baside\b(?!\s+from)/gi,
    advice: 'a note, in parentheses; or separately',
    bad: ['put aside'],
    good: ['aside from that', '$BACKUP/aside'],
  },
  { pattern: phrase('once more'), advice: 'again', bad: ['read once more'] },
  {
    pattern: phrase('lest|whence|thence|hence(?:forth)|thrice|hitherto|heeds?'),
    advice: 'plain English',
    bad: ['lest it fails'],
  },
  {
    pattern: phrase(
      '(?:a|one) (?:record|line|row|word|request|file|key|part|value|message) (?:a|an|per) ?(?:line|record|row|second)(?<! per \\w+)',
    ),
    advice: 'one … per …',
    bad: ['a record a line'],
    good: ['one record per line'],
  },
  {
    pattern:
      /(?<!\bfrom\s+)\bwhere\s+(?:there\s+(?:is|are|was|were)|none\b|no\b|nothing\b|that\s+is\b|this\s+is\b|not\b|an?\s+\w+\s+(?:is|has|was|fails?)\b)/gi,
    advice: 'if, when',
    bad: ['where there is no run', 'Null where none was', 'where a run fails'],
  },
  {
    pattern: phrase(
      '(?:null|except|unless|only|even|also|but|as|empty|false|true|zero|nothing|errors?:?|throws|fails|refused|rejected) where',
    ),
    advice: 'if, when',
    bad: ['Null where the stream has no records.', 'except where a later one holds it'],
  },
  {
    pattern: opening('Where(?!\\s+(?:to|is|are|do|does|did|can|should)\\b)'),
    advice: 'If, When; or begin with the subject',
    bad: ['Where it is missing, the run fails.', 'Reads it. Where none is there, it waits.'],
    good: ['Where to find the logs', 'Where is the log?'],
  },
  {
    pattern: opening('Of(?!\\s+course)'),
    advice: 'begin with the subject',
    bad: ['Of the buckets, the window and the cron.', 'Done. Of two puts one is first.'],
  },
  { pattern: opening('Besides?'), advice: 'begin with the subject', bad: ['Beside a bad zone the cron is read.'] },
  { pattern: opening('Below'), advice: 'begin with the subject', bad: ['Below no path the keys are short.'] },
  {
    pattern: opening('(?:What|Who|Which)ever'),
    advice: 'begin with the subject',
    bad: ['Whatever the order'],
    good: ['However, this fails.'],
  },
  { pattern: opening('Whose'), advice: 'begin with the subject', bad: ['Whose a bucket is'] },
  {
    pattern: phrase('whose (?:a|an|the|each|it|that|this|they)'),
    advice: 'which … owns, the owner of',
    bad: ['whose each bucket is'],
  },
  {
    pattern: new RegExp(`${START}(?:What|Who|Which)\\b(?![^.?!\\n]*\\?)`, 'g'),
    advice: 'name the thing: begin with a noun or an active verb',
    kinds: ['comment', 'string', 'description'],
    bad: ['What usage is summed by.', 'Who is told of it finds it.'],
    good: ['What happens if it fails?'],
  },
  {
    pattern: /^(?:For programs|Not at all|As (?:sent|written|asked)|(?:The|An?)\s+[\w ]+['’]s)\.?$/g,
    advice: 'a sentence that names the thing that it describes',
    kinds: ['comment', 'string', 'description'],
    bad: ['For programs.', "The stream's.", 'Not at all.'],
  },
  {
    pattern: /^(?:that|whose|who|whom|what|where|which|of|those|beside|below|one that|ones?|neither)\b/gi,
    advice: 'begin the name of a test with its behaviour, that of a describe with its subject',
    kinds: ['title'],
    bad: [
      'that is not there cannot be deleted',
      'of exactly a mebibyte is read',
      'whose window lies inside a later one',
    ],
    good: ['skips a run whose window is covered by a later run'],
  },
];

export interface Finding {
  /** Offset in the text. */
  readonly at: number;
  readonly found: string;
  readonly advice: string;
}

/** Finds the constructions in one text. */
export function findProse(text: string, kind: TextKind): Finding[] {
  const findings: Finding[] = [];
  for (const { pattern, advice, kinds } of RULES) {
    if (kinds !== undefined && !kinds.includes(kind)) continue;
    for (const match of text.matchAll(pattern)) {
      findings.push({ at: match.index, found: match[0].replaceAll(/\s+/g, ' '), advice });
    }
  }
  return findings.sort((a, b) => a.at - b.at);
}
