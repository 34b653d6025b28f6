import { FormatError } from "../spec/format_error.ts";
import { idxHeaderLength, readIdxShape } from "./idx.ts";
import { checkInflatedSize } from "./inflate.ts";

/** Compressed bytes handed over at a time: what comes out of them at once stays below 17 MB. */
const SLICE = 2 ** 14;

/**
 * The IDX file in a gzip file. Its own header says how long it is, and no more than that is kept:
 * the file is left at once when it goes on.
 *
 * @param packed the gzip file.
 * @param rank number of dimensions that the IDX file must have.
 * @param file the gzip file's name, for the messages.
 * @throws {FormatError} if it is no gzip file, is damaged, or its content is another, shorter or longer.
 */
export async function gunzipIdx(
  packed: Uint8Array,
  rank: number,
  file: string,
): Promise<Uint8Array> {
  const collector = new IdxCollector(rank, packed.length, file);
  for await (const chunk of inflated(packed, file)) collector.add(chunk);
  return collector.finish();
}

/** Gathers an IDX file from pieces, in memory that is asked for once its header has been read. */
class IdxCollector {
  readonly #rank: number;
  readonly #packed: number;
  readonly #file: string;
  #bytes: Uint8Array;
  #length = 0;
  #sized = false;

  constructor(rank: number, packed: number, file: string) {
    this.#rank = rank;
    this.#packed = packed;
    this.#file = file;
    this.#bytes = new Uint8Array(idxHeaderLength(rank));
  }

  add(chunk: Uint8Array): void {
    let taken = this.#take(chunk);
    if (!this.#sized && this.#length === this.#bytes.length) {
      const shape = readIdxShape(this.#bytes, this.#rank, this.#file);
      const size = shape.reduce((product, s) => product * s, 1);
      checkInflatedSize(size, this.#packed, this.#file);
      const header = this.#bytes;
      this.#bytes = new Uint8Array(header.length + size);
      this.#bytes.set(header);
      this.#sized = true;
      taken += this.#take(chunk.subarray(taken));
    }
    if (taken < chunk.length) {
      throw new FormatError(
        `Expected ${this.#bytes.length} bytes in ${this.#file}, as its header says, but got more`,
      );
    }
  }

  /** Copies what there is room for. */
  #take(chunk: Uint8Array): number {
    const part = chunk.subarray(0, this.#bytes.length - this.#length);
    this.#bytes.set(part, this.#length);
    this.#length += part.length;
    return part.length;
  }

  finish(): Uint8Array {
    if (this.#length < this.#bytes.length) {
      throw new FormatError(
        `Expected ${this.#sized ? "" : "at least "}${this.#bytes.length} bytes in ${this.#file} ` +
          `but got ${this.#length}`,
      );
    }
    return this.#bytes;
  }
}

async function* inflated(packed: Uint8Array, file: string): AsyncGenerator<Uint8Array> {
  let at = 0;
  const slices = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      if (at >= packed.length) return controller.close();
      controller.enqueue(packed.slice(at, at + SLICE));
      at += SLICE;
    },
  }, { highWaterMark: 0 });
  const reader = slices.pipeThrough(new DecompressionStream("gzip")).getReader();
  try {
    for (;;) {
      const { done, value } = await nextOf(reader, file);
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

async function nextOf(reader: ReadableStreamDefaultReader<Uint8Array>, file: string) {
  try {
    return await reader.read();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FormatError(`Expected a whole gzip file in ${file} but got: ${reason}`);
  }
}
