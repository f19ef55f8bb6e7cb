// Pure: text as wide as a terminal shows it.

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

const PLAIN = /^[\x20-\x7e]*$/;
const INVISIBLE = /^[\p{M}\p{Cf}]+$/v;
// Those of East Asian Width W and F, by their scripts and blocks; half-width forms are not among them.
const WIDE =
  /^(?:[[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Bopomofo}\p{Script=Yi}\p{Script=Tangut}\p{Script=Nushu}\p{Script=Khitan_Small_Script}\u{2329}\u{232a}\u{2e80}-\u{303e}\u{3041}-\u{33ff}\u{fe10}-\u{fe19}\u{fe30}-\u{fe6b}\u{ff01}-\u{ff60}\u{ffe0}-\u{ffe6}\u{1f200}-\u{1f265}\u{20000}-\u{3fffd}]--[\u{2ea}\u{2eb}\u{3248}-\u{324f}\u{1160}-\u{11ff}\u{d7b0}-\u{d7fb}\u{ff61}-\u{ffdc}]]|\p{RGI_Emoji})/v;

const ELLIPSIS = '…';

/** In cells of the terminal. */
export const widthOf = (text: string): number => {
  if (PLAIN.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += cellsOf(segment);
  return width;
};

const cellsOf = (grapheme: string): number => {
  if (INVISIBLE.test(grapheme)) return 0;
  return WIDE.test(grapheme) ? 2 : 1;
};

/** Cut where it is wider, with an ellipsis at its end. */
export const cut = (text: string, width: number): string => {
  if (widthOf(text) <= width) return text;
  let kept = '';
  let used = widthOf(ELLIPSIS);
  for (const { segment } of graphemes.segment(text)) {
    used += cellsOf(segment);
    if (used > width) break;
    kept += segment;
  }
  return kept + ELLIPSIS;
};

/** Filled with blanks behind it. */
export const padEnd = (text: string, width: number): string => text + ' '.repeat(Math.max(0, width - widthOf(text)));

/** Filled with blanks before it. */
export const padStart = (text: string, width: number): string => ' '.repeat(Math.max(0, width - widthOf(text))) + text;

/** What others wrote, without what would move the cursor or turn the direction of what follows. */
export const harmless = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- control characters are what it takes out
  text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
