// Pure: what no name holds.

// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** C0, DEL and C1, line breaks and tabs among them. */
export const hasControlCharacters = (text: string): boolean => CONTROL.test(text);
