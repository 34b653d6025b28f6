import { type Arbitrary, type Cell, cut, type Parts, POOL, size } from "./parts.ts";

/** A layer's request without its gradient, and the shape that its output has. */
interface DrawnLayer {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly output: readonly number[];
}

type Pools = Readonly<Record<"x" | "weight" | "bias", readonly number[]>>;

function convolved(
  [N, C, H, W]: readonly number[],
  [O, kH, kW]: readonly number[],
  stride: number,
  padding: readonly number[],
  withBias: boolean,
  pools: Pools,
): DrawnLayer {
  const [top, bottom, left, right] = padding;
  const side = (length: number, pad: number, k: number) =>
    Math.floor((length + pad - k) / stride) + 1;
  return {
    fields: {
      x: cut([N, C, H, W], pools.x),
      weight: cut([O, C, kH, kW], pools.weight),
      ...(withBias ? { bias: cut([O], pools.bias) } : {}),
    },
    output: [N, O, side(H, top + bottom, kH), side(W, left + right, kW)],
  };
}

/** What each layer draws, by its name. */
function layers(parts: Parts): Readonly<Record<string, Arbitrary<DrawnLayer>>> {
  const { fc } = parts, upTo = (max: number, min = 1) => fc.integer({ min, max });
  const pools = fc.record({
    x: parts.pool(),
    weight: parts.pool(POOL, 1),
    bias: parts.pool(4),
  });
  const image = fc.tuple(upTo(2), upTo(2), upTo(4), upTo(4));
  const even = fc.tuple(upTo(2), upTo(2), parts.choice(2, 4), parts.choice(2, 4));
  const padding = parts.choice([1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 1], [2, 0, 1, 0]);
  return {
    conv2d: fc.record({
      image,
      O: upTo(2),
      kernel: parts.choice([3, 3], [1, 1], [3, 3], [1, 1], [3, 2]),
      stride: upTo(2),
      padding,
      bias: fc.boolean(),
      pools,
    }).map(({ image, O, kernel: [kH, kW], stride, padding, bias, pools }) => {
      // The padded image has to hold the kernel.
      const pads = kH === 1 ? [0, 0, 0, 0] : padding;
      const least = (k: number, pad: number) => Math.max(k - pad, 1);
      const [N, C, H, W] = image;
      const shape = [
        N,
        C,
        Math.max(H, least(kH, pads[0] + pads[1])),
        Math.max(W, least(kW, pads[2] + pads[3])),
      ];
      const { fields, output } = convolved(shape, [O, kH, kW], stride, pads, bias, pools);
      return { fields: { ...fields, stride, padding: pads }, output };
    }),
    groupNorm: fc.record({
      groups: upTo(2),
      perGroup: upTo(2),
      N: upTo(2),
      side: fc.tuple(upTo(2), upTo(3, 2)),
      eps: parts.choice(1e-5, 1e-6, 0.1),
      weight: parts.pool(4),
      pools,
    }).map(({ groups, perGroup, N, side, eps, weight, pools }) => {
      const C = groups * perGroup, shape = [N, C, ...side];
      return {
        fields: {
          x: cut(shape, pools.x),
          weight: cut([C], weight),
          bias: cut([C], pools.bias),
          groups,
          eps,
        },
        output: shape,
      };
    }),
    silu: fc.record({ image, scale: parts.scale(10), pools }).map(({ image, scale, pools }) => ({
      fields: { x: cut(image, pools.x, scale) },
      output: image,
    })),
    linear: fc.record({
      rows: fc.array(upTo(3), { minLength: 1, maxLength: 2 }),
      I: upTo(4),
      O: upTo(4),
      bias: fc.boolean(),
      pools,
    }).map(({ rows, I, O, bias, pools }) => ({
      fields: {
        x: cut([...rows, I], pools.x),
        weight: cut([O, I], pools.weight),
        ...(bias ? { bias: cut([O], pools.bias) } : {}),
      },
      output: [...rows, O],
    })),
    attention: fc.record({
      shape: fc.tuple(upTo(2), upTo(2), upTo(3), upTo(3)),
      k: parts.pool(POOL, 2),
      scaled: parts.choice(true, false),
      pools,
    }).map(({ shape, k, scaled, pools }) => ({
      fields: {
        q: cut(shape, pools.x),
        k: cut(shape, k),
        v: cut(shape, pools.weight, 2),
        scale: scaled ? 1 / Math.sqrt(shape[3]) : 0.3,
      },
      output: shape,
    })),
    upsample: fc.record({ image, O: upTo(2), conv: fc.boolean(), bias: fc.boolean(), pools })
      .map(({ image, O, conv, bias, pools }) => {
        const [N, C, H, W] = image, doubled = [N, C, 2 * H, 2 * W];
        if (!conv) return { fields: { x: cut(image, pools.x) }, output: doubled };
        const { fields, output } = convolved(doubled, [O, 3, 3], 1, [1, 1, 1, 1], bias, pools);
        return { fields: { ...fields, x: cut(image, pools.x) }, output };
      }),
    downsample: fc.record({
      even,
      O: upTo(2),
      padding: parts.choice([0, 1, 0, 1], [1, 1, 1, 1]),
      pools,
    }).map(({ even, O, padding, pools }) => {
      const { fields, output } = convolved(even, [O, 3, 3], 2, padding, true, pools);
      return { fields: { ...fields, padding }, output };
    }),
  };
}

/** Attention whose scores are beyond those that e^x can hold, so that the largest has to go first. */
function largeScores(attention: Arbitrary<DrawnLayer>): Cell {
  return {
    label: "layer attention, large scores",
    requests: attention.map(({ fields }) => ({
      op: "layer",
      layer: "attention",
      ...fields,
      scale: 300,
    })),
  };
}

/** Draws of `layer`, by layer and whether its gradients are asked for. */
export function layerCells(parts: Parts): Cell[] {
  const drawn = layers(parts);
  const each = Object.entries(drawn).flatMap(([layer, drawn]) =>
    [false, true].map((gradient): Cell => ({
      label: `layer ${layer}${gradient ? ", gradient" : ""}`,
      requests: parts.fc.record({ drawn, dY: parts.pool() }).map(({ drawn, dY }) => ({
        op: "layer",
        layer,
        ...drawn.fields,
        ...(gradient && size(drawn.output) > 0 ? { gradient: cut(drawn.output, dY) } : {}),
      })),
    }))
  );
  return [...each, largeScores(drawn.attention)];
}
