/**
 * The layers that mix a whole group or sequence: normalisation and attention, term by term.
 *
 * @module
 */
import { type Fields, integerField, numberField } from "../../fields.ts";
import { tensorField } from "../../tensors.ts";
import { given, type Model } from "../model.ts";
import { type Approx, exact } from "../rounding.ts";
import { type Grid, gridOf, type Layer, lists } from "./grid.ts";

/** Group normalisation. */
export function groupNormLayer(request: Fields, model: Model): Layer {
  const { a } = model, x = gridOf(tensorField(request, "x"));
  const weight = given(tensorField(request, "weight")), bias = given(tensorField(request, "bias"));
  const groups = integerField(request, "groups", 1, 2 ** 20);
  const [N, C] = x.shape, plane = x.values.length / N / C, size = C / groups * plane;
  const channel = (i: number) => Math.floor(i / plane) % C;
  const blocks = Array.from({ length: N * groups }, (_, g) => {
    const indices = Array.from({ length: size }, (_, i) => g * size + i);
    const values = indices.map((i) => x.values[i]), count = exact(size);
    const mean = a.div(a.sum(values), count);
    const centered = values.map((v) => a.sub(v, mean));
    const variance = a.div(a.sum(centered.map((d) => a.mul(d, d))), count);
    // The one-pass form E[x²] − μ² loses more.
    const square = values.reduce((sum, { v }) => sum + v * v, 0) / size;
    const loose = { v: variance.v, e: variance.e + (size + 4) * a.u * square };
    const inverse = a.div(
      exact(1),
      a.sqrt(a.add(loose, model.number(numberField(request, "eps")))),
    );
    return { indices, inverse, normal: centered.map((d) => a.mul(d, inverse)) };
  });
  const normal: Approx[] = blocks.flatMap((block) => block.normal);
  return {
    y: normal.map((v, i) => a.add(a.mul(v, weight[channel(i)]), bias[channel(i)])),
    backward: ({ values: dY }) => {
      const dWeight = lists(C), dBias = lists(C);
      dY.forEach((d, i) => {
        dWeight[channel(i)].push(a.mul(d, normal[i]));
        dBias[channel(i)].push(d);
      });
      const dX = blocks.flatMap(({ indices, inverse, normal: own }) => {
        const scaled = indices.map((i) => a.mul(dY[i], weight[channel(i)])), count = exact(size);
        const mean = a.div(a.sum(scaled), count);
        const along = a.div(a.dot(scaled, own), count);
        return scaled.map((s, i) => a.mul(inverse, a.sub(a.sub(s, mean), a.mul(own[i], along))));
      });
      return {
        dX,
        dWeight: dWeight.map((list) => a.sum(list)),
        dBias: dBias.map((list) => a.sum(list)),
      };
    },
  };
}

/** Attention. */
export function attentionLayer(request: Fields, model: Model): Layer {
  const { a } = model;
  const [q, k, v] = ["q", "k", "v"].map((name) => gridOf(tensorField(request, name)));
  const [N, heads, L, D] = q.shape, S = k.shape[2];
  const scale = model.number(numberField(request, "scale", 1 / Math.sqrt(D)));
  const row = (x: Grid, length: number, h: number, l: number) =>
    x.values.slice((h * length + l) * D, (h * length + l + 1) * D);
  const range = (count: number) => Array.from({ length: count }, (_, i) => i);
  const shares = range(N * heads).map((h) =>
    range(L).map((l) => {
      const scores = range(S).map((s) => a.mul(scale, a.dot(row(q, L, h, l), row(k, S, h, s))));
      const largest = Math.max(...scores.map((score) => score.v));
      const powers = scores.map((score) => a.exp(a.sub(score, exact(largest))));
      const sum = a.sum(powers);
      return powers.map((power) => a.div(power, sum));
    })
  );
  const column = (x: Grid, h: number, d: number) =>
    range(S).map((s) => x.values[(h * S + s) * D + d]);
  return {
    y: range(N * heads).flatMap((h) =>
      range(L).flatMap((l) => range(D).map((d) => a.dot(shares[h][l], column(v, h, d))))
    ),
    backward: (dY) => {
      const dV: Approx[] = [], dQ: Approx[] = [], dK: Approx[] = [];
      for (const h of range(N * heads)) {
        const dS = range(L).map((l) => {
          const dP = range(S).map((s) => a.dot(row(dY, L, h, l), row(v, S, h, s)));
          const mean = a.dot(shares[h][l], dP);
          return dP.map((d, s) => a.mul(shares[h][l][s], a.sub(d, mean)));
        });
        for (const l of range(L)) {
          for (const d of range(D)) dQ.push(a.mul(scale, a.dot(dS[l], column(k, h, d))));
        }
        for (const s of range(S)) {
          for (const d of range(D)) {
            const at = (x: Grid) => range(L).map((l) => x.values[(h * L + l) * D + d]);
            dV.push(a.dot(range(L).map((l) => shares[h][l][s]), at(dY)));
            dK.push(a.mul(scale, a.dot(range(L).map((l) => dS[l][s]), at(q))));
          }
        }
      }
      return { dQ, dK, dV };
    },
  };
}
