/** Returns the nonce that the server inserts for the style elements that components add. */
export function readNonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? '';
}

/** Provides the nonce to react-remove-scroll, which adds a style element while a dialog is open and reads this name. */
export function provideNonce(): void {
  Object.assign(globalThis, { __webpack_nonce__: readNonce() });
}
