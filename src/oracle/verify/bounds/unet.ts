import { networkRun } from "../../ops/unet.ts";
import type { BoundsOf } from "../model.ts";
import { networkSpread } from "./network/spread.ts";

/** Bounds of `unet`: of its result, and of the tensors that it writes, below `out`. */
export const unetBounds: BoundsOf = {
  formula: "every layer, carried through the network: λ·σ of runs in which each has a random sign",
  bounds: (request, model) => {
    const { exact, errors } = networkSpread(networkRun(request), model.a.u);
    const bounds = (name: string) => {
      const e = errors.get(name) as Float64Array;
      return Array.from(exact.get(name) as Float64Array, (v, i) => ({ v, e: e[i] }));
    };
    const names = [...exact.keys()], { out } = request.values;
    const written = out === undefined || out === null ? [] : names.filter((n) => n !== "loss");
    return Object.fromEntries([
      ...names.filter((name) => !name.startsWith("grad.")).map((name) => [name, bounds(name)]),
      ...written.map((name) => [`out.${name}`, bounds(name)]),
    ]);
  },
};
