/**
 * The judge: the reference turned outward, so that an implementation in any language can ask it for
 * the truth, one line of JSON at a time (`docs/protocol.md`), or be asked and judged
 * (`docs/verify.md`), or take requests and answers away as files (`docs/vectors.md`).
 *
 * ```ts
 * import { createOracle } from "@ddpm/ddpm/oracle";
 *
 * const noFiles = () => {
 *   throw new Error("this oracle has no files");
 * };
 * const oracle = createOracle({ version: "0", readFile: noFiles, writeFile: noFiles });
 * const request = { id: 1, op: "random_bits", seed: 0, stream: 0, index: 0, count: 1 };
 * const { ok, result } = JSON.parse(oracle.answer(JSON.stringify(request)));
 * console.assert(ok && result.integers[0] === 0x6627e8d5);
 * ```
 *
 * @module
 */
export * from "./error.ts";
export type { Host } from "./host.ts";
export * from "./lines.ts";
export * from "./oracle.ts";
export * from "./vectors/mod.ts";
export * from "./verify/mod.ts";
