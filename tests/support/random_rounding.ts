/**
 * Float32 arithmetic with random rounding errors, simulated in double (Monte Carlo arithmetic, Parker
 * 1997): every rounding is replaced by its largest error with a random sign. The spread of results over
 * a few such runs is the standard deviation of the model in which roundings are independent with mean
 * zero (Higham and Mary 2019, model 2.1), whatever network they went through.
 *
 * A sum of n terms t_k by n fused multiply-adds, one after the other, rounds every partial sum s_k once:
 * its error has the variance u²·Σ_k s_k². If the order of the terms has nothing to do with their values,
 * the expectation over all orders, with S = Σt and Q = Σt², is
 *
 *   E s_k² = k/n·Q + k(k−1)/(n(n−1))·(S² − Q),   Σ_k E s_k² = (n+1)·(Q/6 + S²/3).
 *
 * One after the other is the worst way to add: of the inner nodes of any other tree of additions the
 * i-th smallest covers at most i + 1 terms, and E s_k² grows with k. So this holds for sums over lanes and
 * in parts as well.
 *
 * @module
 */
import { U32 } from "../../src/math/float32.ts";
import { randomBits } from "../../src/math/philox.ts";

const WORDS = 4096;

/** A source of rounding errors. */
export class RandomRounding {
  #words: Uint32Array = new Uint32Array(0);
  #bit = 0;
  #calls = 0;

  /** @param u unit roundoff; 0 for exact arithmetic. */
  constructor(readonly seed: number, readonly u: number = U32) {}

  /** 1 or −1. */
  sign(): number {
    const word = this.#bit >> 5;
    if (word >= this.#words.length) {
      this.#words = randomBits(this.seed, this.#calls++, 0, WORDS);
      this.#bit = 0;
      return this.sign();
    }
    return (this.#words[word] >>> (this.#bit++ & 31)) & 1 ? 1 : -1;
  }

  /** ±u·size. */
  error(size: number): number {
    return this.sign() * this.u * size;
  }

  /** The value after errors of relative size `roundings`·u. */
  rounded(value: number, roundings = 1): number {
    return value + this.error(value * roundings);
  }

  /** The value with an error of relative size `relative`, given at u = 2^−24: that of a WGSL builtin. */
  builtin(value: number, relative: number): number {
    return this.rounded(value, relative / U32);
  }

  /**
   * A float32 sum of n terms, from its exact value S and the sum Q of the terms' squares.
   *
   * @param perTerm roundings of each term before it is added: 1 for a product.
   */
  sum(n: number, S: number, Q: number, perTerm = 1): number {
    return S + this.error(Math.sqrt(perTerm * perTerm * Q + (n + 1) * (Q / 6 + S * S / 3)));
  }

  /**
   * A float32 sum of terms that are not negative and go through at most `depth` roundings each. As
   * every inner node is at most the whole, Σ s² ≤ S·Σ s ≤ depth·S².
   */
  shallowSum(depth: number, S: number): number {
    return S + this.error(Math.sqrt(depth) * S);
  }
}
