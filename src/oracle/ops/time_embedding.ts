import { unexpected } from "../../math/errors.ts";
import { timeEmbedding } from "../../reference/nn/time_embedding.ts";
import {
  choiceField,
  type Fields,
  integerField,
  numberField,
  numberOrNumbersField,
} from "../fields.ts";
import type { Result } from "../result.ts";
import { checkResultSize } from "../tensors.ts";

/** The sinusoidal embedding of times as the network gets them. */
export function timeEmbeddingOp(request: Fields): Result {
  const given = numberOrNumbersField(request, "timesteps");
  const timesteps = typeof given === "number" ? [given] : given;
  if (timesteps.length === 0) unexpected("at least one timestep", timesteps);
  const dim = integerField(request, "dim", 1, 2 ** 20);
  checkResultSize("an embedding", [timesteps.length, dim]);
  const options = {
    order: choiceField(request, "order", ["sinCos", "cosSin"]),
    shift: integerField(request, "shift", 0, 1),
    maxPeriod: numberField(request, "maxPeriod"),
  };
  return { embedding: timeEmbedding(timesteps, dim, options) };
}
