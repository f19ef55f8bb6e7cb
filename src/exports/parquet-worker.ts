// The thread that encodes a Parquet file, so that the event loop of the server does not: see ParquetFile.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { parentPort, workerData } from 'node:worker_threads';
import { ParquetEncoder } from './parquet-encoder.ts';
import type { ParquetFormat } from './parquet-schema.ts';
import { ValueTooLargeError } from './parquet-values.ts';

/** `lines`: whole lines of UTF-8. Null ends the file. The thread replies once to each. */
export interface ParquetRequest {
  readonly lines: Uint8Array<ArrayBuffer> | null;
}

export type ParquetReply =
  | {
      /** Bytes of the file that are complete. */
      readonly pieces: readonly Uint8Array<ArrayBuffer>[];
      /** Rounded rows of the file, once it has ended. */
      readonly roundedRows: number;
    }
  | { readonly tooLarge: string };

/** Serves requests of the thread that started this one; does nothing if this is the main thread. */
function serve(): void {
  const port = parentPort;
  if (!port) return;
  const encoder = new ParquetEncoder(workerData as ParquetFormat, ({ buffer }) => {
    // Frees the memory immediately: see release() of src/db/copy-out.ts.
    if (buffer instanceof ArrayBuffer) buffer.transfer(0);
  });
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: { readonly type: 'minor' }) => void;
  port.on('message', ({ lines }: ParquetRequest) => {
    const reply = encode(encoder, lines);
    // Between two row groups nearly all objects are garbage. V8 would collect them in the middle of the next group, when its rows are
    // alive, and move those to the old generation: 20 to 40 MB more (November 2026).
    if ('pieces' in reply && reply.pieces.length > 0) collect({ type: 'minor' });
    port.postMessage(reply, 'pieces' in reply ? reply.pieces.map(({ buffer }) => buffer) : []);
  });
}

function encode(encoder: ParquetEncoder, lines: ParquetRequest['lines']): ParquetReply {
  try {
    if (!lines) return encoder.finish();
    encoder.add(Buffer.from(lines.buffer, lines.byteOffset, lines.length));
    return { pieces: encoder.takePieces(), roundedRows: 0 };
  } catch (error) {
    // The class of an error is lost on its way to another thread.
    if (error instanceof ValueTooLargeError) return { tooLarge: error.value };
    throw error;
  }
}

serve();
