// The thread that encodes a Parquet file, so that the event loop of the server does not: see ParquetFile.
import { parentPort, workerData } from 'node:worker_threads';
import { ParquetEncoder, type ParquetFormat } from './parquet-encoder.ts';
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
  const encoder = new ParquetEncoder(workerData as ParquetFormat);
  port.on('message', ({ lines }: ParquetRequest) => {
    const reply = encode(encoder, lines);
    port.postMessage(reply, 'pieces' in reply ? reply.pieces.map(({ buffer }) => buffer) : []);
  });
}

function encode(encoder: ParquetEncoder, lines: ParquetRequest['lines']): ParquetReply {
  try {
    if (!lines) return encoder.finish();
    encoder.add(Buffer.from(lines.buffer, lines.byteOffset, lines.length).toString());
    // Frees the memory immediately: see release() of src/db/copy-out.ts.
    lines.buffer.transfer(0);
    return { pieces: encoder.takePieces(), roundedRows: 0 };
  } catch (error) {
    // The class of an error is lost on its way to another thread.
    if (error instanceof ValueTooLargeError) return { tooLarge: error.value };
    throw error;
  }
}

serve();
