/**
 * Another library in a worker of its own, with a device of its own: started, checked and timed from here.
 *
 * @module
 */
import type { Reply, Request, Work } from "./work.ts";

/** The peers by the names that tables have for them. */
const SOURCES = {
  "jax-js WebGPU": "jax.ts",
  "tfjs WebGPU": "tfjs_webgpu.ts",
  "tfjs WASM": "tfjs_wasm.ts",
} as const;

export type PeerName = keyof typeof SOURCES;

/** A peer that has started its work. */
export class Peer {
  readonly name: PeerName;
  readonly #worker: Worker;

  private constructor(name: PeerName) {
    this.name = name;
    this.#worker = new Worker(new URL(SOURCES[name], import.meta.url), { type: "module", name });
  }

  /** A peer with work, and the work's results. @throws {Error} with the peer's reason if it cannot do it. */
  static async start(
    name: PeerName,
    work: Work,
  ): Promise<{ peer: Peer; results: readonly Float32Array[] }> {
    const peer = new Peer(name);
    try {
      const reply = await peer.#ask({ start: work });
      if (!("results" in reply)) throw new Error(`Expected results of ${name}`);
      return { peer, results: reply.results };
    } catch (error) {
      peer.stop();
      throw error;
    }
  }

  /** Milliseconds per evaluation, over so many of them back to back. */
  async time(times: number): Promise<number> {
    const reply = await this.#ask({ times });
    if (!("ms" in reply)) throw new Error(`Expected a time of ${this.name}`);
    return reply.ms;
  }

  /** Ends the worker and with it the peer's device. */
  stop(): void {
    this.#worker.terminate();
  }

  #ask(request: Request): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#worker.onmessage = ({ data }: MessageEvent<Reply>) =>
        "error" in data ? reject(new Error(`${this.name}: ${data.error}`)) : resolve(data);
      this.#worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(`${this.name}: ${event.message}`));
      };
      this.#worker.postMessage(request);
    });
  }
}
