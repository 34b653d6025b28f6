import { type Cell, cut, KINDS, type Parts, timesFrom } from "./parts.ts";

/** Draws of `schedule`, by kind. */
export function scheduleCells(parts: Parts): Cell[] {
  return KINDS.map((kind) => ({
    label: `schedule.kind ${kind}`,
    requests: parts.scheduleOf(kind).map(({ json }) => ({ op: "schedule", schedule: json })),
  }));
}

/** Draws of an operation that takes two image tensors at times of any schedule. */
function pairCells(parts: Parts, op: string, first: string, second: string | null): Cell[] {
  return [{
    label: "",
    requests: parts.fc.record({
      shape: parts.shape(),
      schedule: parts.schedule(),
      when: parts.when(),
      scale: parts.scale(0.01, 1000),
      x: parts.pool(),
      y: parts.pool(),
    }).map(({ shape, schedule, when, scale, x, y }) => ({
      op,
      schedule: schedule.json,
      t: timesFrom(schedule, when, shape[0]),
      [first]: cut(shape, x, scale),
      ...(second === null ? {} : { [second]: cut(shape, y) }),
    })),
  }];
}

/** Draws of `q_step`. */
export function qStepCells(parts: Parts): Cell[] {
  return pairCells(parts, "q_step", "xPrev", "noise");
}

/** Draws of `q_sample`. */
export function qSampleCells(parts: Parts): Cell[] {
  return pairCells(parts, "q_sample", "x0", "noise");
}

/** Draws of `q_mean_variance`. */
export function qMeanVarianceCells(parts: Parts): Cell[] {
  return pairCells(parts, "q_mean_variance", "x0", null);
}

/** Draws of `q_posterior`. */
export function qPosteriorCells(parts: Parts): Cell[] {
  return pairCells(parts, "q_posterior", "x0", "xt");
}

const SPACINGS = ["leading", "trailing", "linspace", "quadratic", "stride"] as const;

/** Draws of `timesteps`, by spacing. */
export function timestepsCells(parts: Parts): Cell[] {
  const { fc } = parts;
  const T = fc.oneof(
    { withCrossShrink: true },
    fc.integer({ min: 1, max: 40 }),
    fc.integer({ min: 41, max: 1200 }),
    // Multiples of 5, where the quadratic rule meets integers that floats may miss.
    fc.integer({ min: 1, max: 40 }).map((k) => 5 * k),
    fc.constant(1000),
  );
  const spaced = SPACINGS.map((spacing): Cell => ({
    label: `spacing ${spacing}`,
    requests: fc.record({ T, share: fc.integer({ min: 0, max: 999 }) }).map(({ T, share }) => {
      // Few steps as often as many; strides that exist are ⌈T/s⌉.
      const any = 1 + (share < 500 ? share % Math.min(T, 50) : Math.floor(share * T / 1000));
      const steps = spacing === "stride" ? Math.ceil(T / (1 + share % T)) : Math.min(any, T);
      return { op: "timesteps", T, spacing, steps };
    }),
  }));
  const sections: Cell = {
    label: "spacing sections",
    requests: fc.record({
      T,
      shares: fc.array(fc.integer({ min: 0, max: 99 }), { minLength: 1, maxLength: 4 }),
    }).map(({ T, shares }) => {
      const k = Math.min(shares.length, T), shortest = Math.floor(T / k);
      const counts = shares.slice(0, k).map((share) => 1 + Math.floor(share * (shortest - 1) / 99));
      return {
        op: "timesteps",
        T,
        spacing: "sections",
        steps: counts.reduce((sum, count) => sum + count, 0),
        sections: counts,
      };
    }),
  };
  return [...spaced, sections];
}
