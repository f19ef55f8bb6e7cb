/** What the embedded parts say; a pino logger is one. No line holds SQL, values or secrets. */
export interface LocalLog {
  debug(text: string): void;
  warn(text: string): void;
  error(text: string): void;
}
