/**
 * The worker's side of a peer: starts work and times it there, so that no message is on the clock.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import type { Program, Reply, Request, Work } from "./work.ts";

/** Answers requests with the programs that `start` makes of them. */
export function serve(start: (work: Work) => Promise<Program>): void {
  let program: Promise<Program> = Promise.reject(new Error("Expected work to start first"));
  program.catch(() => {});
  const answer = async (request: Request): Promise<Reply> => {
    if ("start" in request) {
      program = start(request.start);
      return { results: await (await program).results() };
    }
    const { run } = await program;
    const begin = performance.now();
    await run(request.times);
    return { ms: (performance.now() - begin) / request.times };
  };
  self.onmessage = async ({ data }: MessageEvent<Request>) => {
    try {
      self.postMessage(await answer(data));
    } catch (error) {
      const reason = error instanceof Error ? error.stack ?? error.message : String(error);
      self.postMessage({ error: reason });
    }
  };
}
