/**
 * A stand-in for `@std/cli` where JSR cannot be reached: the functions that this project uses, with
 * the names, signatures and behaviour of the real ones. Deleting `links` from `deno.json` uses the
 * real package.
 *
 * @module
 */
export * from "./parse_args.ts";
