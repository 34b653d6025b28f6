import { randomBits } from "../../../math/philox.ts";
import { choiceField, integerField, numberField, numberOrNumbersField } from "../../fields.ts";
import { type BoundsOf } from "../model.ts";
import { type Approx, exact } from "../rounding.ts";

const MAX_INTEGER = Number.MAX_SAFE_INTEGER;

/** Bounds of `time_embedding`. */
export const timeEmbeddingBounds: BoundsOf = {
  formula: "sin and cos of t·maxPeriod^(−i/(half−shift)), an angle of few roundings",
  bounds: (request, model) => {
    const { a } = model, given = numberOrNumbersField(request, "timesteps");
    const dim = integerField(request, "dim", 1, 2 ** 20), half = Math.floor(dim / 2);
    const shift = integerField(request, "shift", 0, 1);
    const sinFirst = choiceField(request, "order", ["sinCos", "cosSin"]) === "sinCos";
    const period = Math.log(numberField(request, "maxPeriod"));
    const frequencies = Array.from({ length: half }, (_, i): Approx => {
      if (i === 0) return exact(1);
      const v = -period * i / (half - shift);
      return a.exp({ v, e: 6 * a.u * Math.abs(v) });
    });
    const embedding = (typeof given === "number" ? [given] : given).flatMap((t) => {
      const angles = frequencies.map((f) => a.mul(a.of(t), f));
      const sin = angles.map((angle) => a.wave(Math.sin, angle));
      const cos = angles.map((angle) => a.wave(Math.cos, angle));
      const row = sinFirst ? [...sin, ...cos] : [...cos, ...sin];
      return dim % 2 === 0 ? row : [...row, exact(0)];
    });
    return { embedding };
  },
};

/** Bounds of `normal`. */
export const normalBounds: BoundsOf = {
  formula: "√(−2 ln u₁)·cos 2πu₂ and ·sin 2πu₂",
  bounds: (request, model) => {
    const { a } = model, integer = (name: string) => integerField(request, name, 0, MAX_INTEGER);
    const index = integer("index"), count = integer("count");
    const words = (block: number) => randomBits(integer("seed"), integer("stream"), 4 * block, 4);
    const uniform = (high: number, low: number) =>
      a.of((high * 2 ** 20 + Math.floor(low / 2 ** 12) + 0.5) / 2 ** 52);
    const values = Array.from({ length: count }, (_, i) => {
      const at = index + i, w = words(Math.floor(at / 2));
      const log = a.log(uniform(w[0], w[1]));
      const radius = a.sqrt({ v: -2 * log.v, e: 2 * log.e });
      const angle = a.round(a.mul(a.of(2 * Math.PI), uniform(w[2], w[3])), 2);
      return a.mul(radius, a.wave(at % 2 === 0 ? Math.cos : Math.sin, angle));
    });
    return { values };
  },
};
