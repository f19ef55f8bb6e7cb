/** The logger of the embedded parts; a pino logger fits. No line contains SQL, values or secrets. */
export interface LocalLog {
  debug(text: string): void;
  warn(text: string): void;
  error(text: string): void;
}
