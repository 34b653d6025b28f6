import { ArgumentError } from "../../src/math/errors.ts";
import { FormatError } from "../../src/spec/format_error.ts";
import { Draws, mutated } from "./fuzz.ts";
import { FUZZ_TARGETS, type FuzzTarget } from "./fuzz_targets.ts";

/** What came of damaged files. */
export interface FuzzReport {
  readonly inputs: number;
  readonly read: number;
  readonly refused: number;
  /** The longest that one took, in milliseconds, and which. */
  readonly slowest: { readonly milliseconds: number; readonly input: string };
  /** Everything that was not as it should be. */
  readonly faults: readonly string[];
}

/** A file of at most 64 KiB is read or refused in a moment; this is for a machine with much else to do. */
const MAX_MILLISECONDS = 5_000;
/**
 * Growth of the heap and of memory outside it that may be another's: garbage of earlier inputs that the
 * young generation (at most 2 · 16 MiB) has not yet given back, and a slice of inflated data (17 MB).
 */
const CONSTANT = 2 ** 26;

/**
 * Damages `inputs` files, each by its own number alone, and reads them. A reader must give something or
 * throw a FormatError or ArgumentError of one line; take less than {@linkcode MAX_MILLISECONDS}; let
 * the heap and the buffers outside it grow by no more than {@linkcode CONSTANT} plus the target's
 * multiple of the file's length, as `Deno.memoryUsage` has them before and after without a collection
 * between (one that happens inside hides garbage, and never what is held); and give arrays within the
 * same bound, as long as the shapes beside them say.
 */
export async function fuzz(inputs: number): Promise<FuzzReport> {
  const faults: string[] = [];
  let read = 0, refused = 0, slowest = { milliseconds: 0, input: "none" };
  for (let n = 0; n < inputs; n++) {
    const target = FUZZ_TARGETS[n % FUZZ_TARGETS.length];
    const bytes = damagedFile(target, n);
    const input = `${target.name}, input ${n} of ${bytes.length} bytes`;
    const room = CONSTANT + target.perByte * bytes.length;
    const before = held(), start = performance.now();
    let result: unknown = null;
    try {
      result = await target.read(bytes);
      read++;
      if (!isWhole(result)) faults.push(`${input}: gave something whose parts do not fit`);
    } catch (error) {
      refused++;
      const fault = faultOf(error);
      if (fault !== null) faults.push(`${input}: ${fault}`);
    }
    const milliseconds = performance.now() - start, grown = held() - before;
    if (milliseconds > slowest.milliseconds) slowest = { milliseconds, input };
    if (milliseconds > MAX_MILLISECONDS) faults.push(`${input}: ${milliseconds} ms`);
    if (Math.max(grown, sizeOfResult(result)) > room) faults.push(`${input}: ${grown} bytes`);
  }
  return { inputs, read, refused, slowest, faults };
}

/** Input number `n` of a target: damage to its bytes, to what its format holds, or to both. */
export function damagedFile(target: FuzzTarget, n: number): Uint8Array {
  const draws = new Draws(n);
  const file = draws.oneOf(target.files);
  const how = draws.below(4);
  if (how === 0) return mutated(file, draws, target.files);
  const damaged = target.damage(file, draws);
  return how === 1 ? mutated(damaged, draws, target.files) : damaged;
}

function held(): number {
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

/** What is wrong with how a file was refused, or null. */
function faultOf(error: unknown): string | null {
  if (!(error instanceof FormatError || error instanceof ArgumentError)) {
    return `threw ${error instanceof Error ? error.stack : String(error)}`;
  }
  // A line of ordinary length without control characters, which a terminal would obey.
  // deno-lint-ignore no-control-regex
  if (/[\x00-\x1f\x7f-\x9f\u2028\u2029]/.test(error.message) || error.message.length > 600) {
    return `threw a message that is no line: ${JSON.stringify(error.message.slice(0, 700))}`;
  }
  return null;
}

/** Whether every tensor, picture and dataset in what a reader gave has as many values as its sizes say. */
function isWhole(result: unknown): boolean {
  if (ArrayBuffer.isView(result) || typeof result !== "object" || result === null) return true;
  if (result instanceof Map) return [...result.values()].every(isWhole);
  const product = (sizes: unknown) =>
    (sizes as readonly number[]).reduce((total, size) => total * size, 1);
  const has = result as Readonly<Record<string, unknown>>;
  const lengthOf = (name: string) => (has[name] as ArrayLike<number>).length;
  if ("imageShape" in has) {
    const size = Number(has.count) * product(has.imageShape);
    const labels = [...has.labels as Uint8Array];
    return size > 0 && lengthOf("pixels") === size && labels.length === has.count &&
      labels.every((label) => label < Number(has.classes));
  }
  if ("channels" in has) {
    const size = product([has.width, has.height, has.channels]);
    return size > 0 && lengthOf("data") === size;
  }
  if ("shape" in has) return lengthOf("data") === product(has.shape);
  return Object.values(has).every(isWhole);
}

/** Bytes of the arrays in what a reader gave; one buffer counts once. */
function sizeOfResult(result: unknown): number {
  const buffers = new Set<ArrayBufferLike>();
  const visit = (value: unknown): void => {
    if (ArrayBuffer.isView(value)) buffers.add(value.buffer);
    else if (value instanceof Map) value.forEach(visit);
    else if (typeof value === "object" && value !== null) Object.values(value).forEach(visit);
  };
  visit(result);
  return [...buffers].reduce((sum, buffer) => sum + buffer.byteLength, 0);
}
