import { type Cell, cut, type Parts } from "./parts.ts";

/** Draws of `adam_step`, by kind of weight decay. */
export function adamStepCells(parts: Parts): Cell[] {
  const { fc } = parts;
  return [true, false].map((decoupled): Cell => ({
    label: `decoupled ${decoupled}`,
    requests: fc.record({
      size: fc.integer({ min: 1, max: 6 }),
      step: parts.choice(1, 2, 10, 1000),
      lr: parts.choice(0.1, 0.001),
      beta1: parts.choice(0.9, 0.5, 0),
      beta2: parts.choice(0.75, 0.999, 0.99),
      eps: parts.choice(0.1, 1e-3, 1e-8),
      weightDecay: parts.choice(0, 0.1, 0.01),
      scale: parts.scale(0.01),
      params: parts.pool(6),
      grad: parts.pool(6),
      m: parts.pool(6),
      v: parts.pool(6),
    }).map(({ size, params, grad, m, v, scale, ...options }) => ({
      op: "adam_step",
      params: cut([size], params),
      grad: cut([size], grad, scale),
      m: cut([size], m, scale),
      v: cut([size], v.map(Math.abs), scale * scale),
      ...options,
      decoupled,
    })),
  }));
}

/** Draws of `ema_step`. */
export function emaStepCells(parts: Parts): Cell[] {
  return [{
    label: "",
    requests: parts.fc.record({
      size: parts.fc.integer({ min: 1, max: 6 }),
      decay: parts.choice(0.75, 0.9999, 0.99, 0, 1),
      ema: parts.pool(6),
      params: parts.pool(6),
    }).map(({ size, decay, ema, params }) => ({
      op: "ema_step",
      ema: cut([size], ema),
      params: cut([size], params),
      decay,
    })),
  }];
}

/** Draws of `clip_grad_norm`. */
export function clipGradNormCells(parts: Parts): Cell[] {
  const { fc } = parts;
  return [{
    label: "",
    requests: fc.record({
      sizes: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 3 }),
      maxNorm: parts.choice(1, 0.1, 5, 100),
      // Where the norm is near 1e−6, that constant shows.
      scale: parts.scale(1e-6, 0.1),
      pool: parts.pool(18),
    }).map(({ sizes, maxNorm, scale, pool }) => ({
      op: "clip_grad_norm",
      grads: sizes.map((size, k) => cut([size], pool.slice(6 * k), scale)),
      maxNorm: scale === 1e-6 ? maxNorm * 1e-6 : maxNorm,
    })),
  }];
}

/** Draws of `time_embedding`, by order and shift. */
export function timeEmbeddingCells(parts: Parts): Cell[] {
  const { fc } = parts;
  return ["sinCos", "cosSin"].flatMap((order) =>
    [1, 0].map((shift): Cell => ({
      label: `order ${order}, shift ${shift}`,
      requests: fc.record({
        timesteps: fc.array(fc.integer({ min: 0, max: 999 }), { minLength: 1, maxLength: 3 }),
        dim: fc.integer({ min: 4, max: 17 }),
        maxPeriod: parts.choice(10000, 100),
      }).map((fields) => ({ op: "time_embedding", ...fields, order, shift })),
    }))
  );
}

/** Draws of an operation on a stream of random numbers. */
function streamCells(parts: Parts, op: string): Cell[] {
  const { fc } = parts;
  const any = fc.oneof(
    { withCrossShrink: true },
    fc.integer({ min: 0, max: 20 }),
    fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  );
  return [{
    label: "",
    requests: fc.record({
      seed: any,
      stream: any,
      index: fc.oneof(
        { withCrossShrink: true },
        fc.integer({ min: 0, max: 20 }),
        fc.integer({
          min: 0,
          max: 2 ** 40,
        }),
      ),
      count: fc.integer({ min: 1, max: 9 }),
    }).map((fields) => ({ op, ...fields })),
  }];
}

/** Draws of `random_bits`. */
export function randomBitsCells(parts: Parts): Cell[] {
  return streamCells(parts, "random_bits");
}

/** Draws of `normal`. */
export function normalCells(parts: Parts): Cell[] {
  return streamCells(parts, "normal");
}
