/**
 * Lines of a byte stream, none of which is ever held beyond a limit.
 *
 * @module
 */

/** Longest line that is read: 8 MiB without its line feed. */
export const MAX_LINE: number = 8 * 2 ** 20;
/** What is kept of a longer line, to look for its id. */
const HEAD = 2 ** 16;

/** A line, or why it is none. */
export type Line =
  | { readonly kind: "text"; readonly text: string }
  /** Longer than the limit; `head` is how it begins. */
  | { readonly kind: "tooLong"; readonly head: string }
  | { readonly kind: "notUtf8" };

/** The bytes of a line as they arrive. */
class Pending {
  readonly #limit: number;
  #parts: Uint8Array[] = [];
  #length = 0;
  #tooLong = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get empty(): boolean {
    return this.#length === 0 && !this.#tooLong;
  }

  add(part: Uint8Array): void {
    if (this.#tooLong) return;
    // A copy: the stream may reuse its buffer.
    this.#parts.push(part.slice(0, this.#limit + 1 - this.#length));
    this.#length += part.length;
    if (this.#length <= this.#limit) return;
    this.#parts = [this.#joined().slice(0, HEAD)];
    this.#tooLong = true;
  }

  take(): Line {
    const bytes = this.#joined(), tooLong = this.#tooLong;
    this.#parts = [];
    this.#length = 0;
    this.#tooLong = false;
    if (tooLong) return { kind: "tooLong", head: new TextDecoder().decode(bytes) };
    try {
      return { kind: "text", text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
    } catch {
      return { kind: "notUtf8" };
    }
  }

  #joined(): Uint8Array {
    if (this.#parts.length === 1) return this.#parts[0];
    const joined = new Uint8Array(this.#parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.#parts) {
      joined.set(part, at);
      at += part.length;
    }
    return joined;
  }
}

/**
 * The lines of a stream, in order; the last one need not end in a line feed. Of a line beyond the
 * limit only the beginning is kept.
 */
export async function* readLines(
  stream: AsyncIterable<Uint8Array>,
  limit: number = MAX_LINE,
): AsyncGenerator<Line> {
  const pending = new Pending(limit);
  for await (const chunk of stream) {
    let start = 0;
    for (let end; (end = chunk.indexOf(10, start)) >= 0; start = end + 1) {
      pending.add(chunk.subarray(start, end));
      yield pending.take();
    }
    if (start < chunk.length) pending.add(chunk.subarray(start));
  }
  if (!pending.empty) yield pending.take();
}
