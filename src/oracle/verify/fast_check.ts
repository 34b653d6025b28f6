import type { Fc } from "./draw/parts.ts";

/** fast-check, which only who has requests drawn needs. */
export async function fastCheck(): Promise<Fc> {
  return await import("fast-check");
}
