// Pure: what the parts of a run tell of how long they took, wherever that goes; nowhere, if nobody asked for it.

export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

/** A part of something that is followed. */
export interface Span {
  /** Does the work as a part of this one; it ends with the work, and failed if that throws. */
  child<Value>(name: string, attributes: SpanAttributes, work: (span: Span) => Promise<Value>): Promise<Value>;
  /** A part that is over, from a moment until now. */
  past(name: string, attributes: SpanAttributes, from: Date): void;
  note(attributes: SpanAttributes): void;
  /** Says that it failed although nothing was thrown. */
  fail(words: string): void;
}

const NO_SPAN: Span = {
  child: (_name, _attributes, work) => work(NO_SPAN),
  past: () => undefined,
  note: () => undefined,
  fail: () => undefined,
};

/** What is followed of a run. */
export interface TracedRun {
  readonly id: string;
  readonly jobId: string;
  readonly accountId: bigint;
  readonly trigger: string;
  readonly scheduledFor: Date;
  readonly createdAt: Date;
}

/** Follows runs from server to server: each says what it did, and whoever gathers that puts it together by the run's id. */
export interface RunTraces {
  /** The scheduler has queued the runs of slots that were due. */
  queued(runs: readonly TracedRun[]): void;
  /** One attempt, from a moment before now. */
  attempt<Value>(
    run: TracedRun,
    from: Date,
    attributes: SpanAttributes,
    work: (span: Span) => Promise<Value>,
  ): Promise<Value>;
  /** The run has ended: the span that all others are parts of. */
  ended(run: TracedRun, status: 'SUCCEEDED' | 'FAILED', attributes: SpanAttributes): void;
  /** By which the trace of a run is found; null where nothing is followed. */
  traceIdOf(runId: string): string | null;
  /** Sends what is still to be sent, within seconds. */
  close(): Promise<void>;
}

export const NO_TRACES: RunTraces = {
  queued: () => undefined,
  attempt: (_run, _from, _attributes, work) => work(NO_SPAN),
  ended: () => undefined,
  traceIdOf: () => null,
  close: () => Promise.resolve(),
};
