/**
 * The rounding errors of attention. An error of a score moves all components of its row's output, and
 * one of a row's sum all of its shares.
 *
 * @module
 */
import { U32 } from "../../../../math/float32.ts";
import type { Tensor } from "../../../../math/tensor.ts";
import { type Errors, independent, type LayerErrors, range } from "./errors.ts";

/** The shares of one query. */
interface Row {
  /** Softmax of the scores. */
  readonly shares: readonly number[];
  /** Relative error of each share before it is divided by the sum. */
  readonly errors: readonly number[];
}

/** The errors of attention over q, k and v `[N, heads, L, D]` with the scale D^−½. */
export function attentionErrors(q: Tensor, k: Tensor, v: Tensor, u: number): LayerErrors {
  const [N, heads, L, D] = q.shape, S = k.shape[2], scale = 1 / Math.sqrt(D);
  const dot = (count: number, term: (i: number) => number) =>
    range(count).reduce((total, i) => total + term(i), 0);
  const at = (x: Tensor, h: number, row: number, d: number) =>
    x.data[(h * x.shape[2] + row) * D + d];
  const rows = range(N * heads * L).map((hl): Row => {
    const h = Math.floor(hl / L), l = hl % L;
    const scores = range(S).map((s) => scale * dot(D, (d) => at(q, h, l, d) * at(k, h, s, d)));
    const sizes = range(S).map((s) =>
      scale * dot(D, (d) => Math.abs(at(q, h, l, d) * at(k, h, s, d)))
    );
    const largest = Math.max(...scores), powers = scores.map((s) => Math.exp(s - largest));
    const sum = dot(S, (s) => powers[s]);
    return {
      shares: powers.map((power) => power / sum),
      errors: scores.map((score, s) =>
        (D + 4) * u * sizes[s] + (6 + 5 * Math.abs(score - largest)) * u + u
      ),
    };
  });
  const y = (h: number, l: number, d: number) => {
    const { shares } = rows[h * L + l];
    return dot(S, (s) => shares[s] * at(v, h, s, d));
  };
  const forward: Errors = (sign) => {
    const errors = new Float64Array(q.data.length);
    rows.forEach(({ shares, errors: own }, hl) => {
      const h = Math.floor(hl / L), l = hl % L;
      const ofScores = own.map((e) => sign() * e), ofSum = sign() * (S + 4) * u;
      for (const d of range(D)) {
        const value = y(h, l, d);
        const moved = dot(S, (s) => shares[s] * ofScores[s] * (at(v, h, s, d) - value));
        const size = dot(S, (s) => shares[s] * Math.abs(at(v, h, s, d)));
        errors[hl * D + d] = moved + ofSum * value +
          sign() * ((S + 1) * u * size + U32 * Math.abs(value));
      }
    });
    return errors;
  };
  return {
    forward,
    backward: (dY) => {
      const dQ = new Float64Array(q.data.length), dK = new Float64Array(k.data.length);
      const dV = new Float64Array(v.data.length);
      rows.forEach(({ shares, errors }, hl) => {
        const h = Math.floor(hl / L), l = hl % L;
        const share = errors.map((e) => e + (S + 4) * u);
        const dP = range(S).map((s) => dot(D, (d) => at(dY, h, l, d) * at(v, h, s, d)));
        const sizes = range(S).map((s) =>
          dot(D, (d) => Math.abs(at(dY, h, l, d) * at(v, h, s, d)))
        );
        const mean = dot(S, (s) => shares[s] * dP[s]);
        const meanError = dot(
          S,
          (s) => shares[s] * (share[s] * Math.abs(dP[s]) + (D + 1 + S + 1) * u * sizes[s]),
        );
        for (const s of range(S)) {
          const dS = shares[s] * (dP[s] - mean), size = Math.abs(dP[s]) + Math.abs(mean);
          const error = shares[s] * (share[s] * Math.abs(dP[s] - mean) +
            (D + 1) * u * sizes[s] + meanError + 3 * u * size);
          for (const d of range(D)) {
            const terms = error + (Math.max(S, L) + 4) * u * Math.abs(dS) + U32 * Math.abs(dS);
            dQ[hl * D + d] += scale * terms * Math.abs(at(k, h, s, d));
            dK[(h * S + s) * D + d] += scale * terms * Math.abs(at(q, h, l, d));
            dV[(h * S + s) * D + d] += shares[s] * Math.abs(at(dY, h, l, d)) *
              (share[s] + (L + 1) * u + U32);
          }
        }
      });
      return { inputs: [independent(dQ), independent(dK), independent(dV)] };
    },
  };
}
