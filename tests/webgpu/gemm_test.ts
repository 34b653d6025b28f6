/**
 * Matrix products: every variant, over drawn sizes, layouts, batches and epilogues.
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { gamma } from "../../src/math/float32.ts";
import {
  gemm,
  type GemmProblem,
  type GemmVariant,
  type Placed,
  REGISTER,
  WORKGROUP,
} from "../../src/webgpu/kernels/gemm.ts";
import { Bound } from "../support/bound.ts";
import { gpuTest } from "./gpu_test.ts";
import { runLaunches } from "./run_launch.ts";
import { normals } from "./values.ts";

type Name = "A" | "B" | "C" | "bias" | "perSample" | "residual";

/** Sizes of the dimensions of a product. */
interface Sizes {
  readonly B1: number;
  readonly B2: number;
  readonly M: number;
  readonly N: number;
  readonly K1: number;
  readonly K2: number;
}

/** How one array is laid out: dimensions from the outermost, elements before it and after each row. */
interface Layout {
  readonly order: readonly (keyof Sizes)[];
  readonly offset: number;
  /** Elements after the innermost row, or its size rounded up to a multiple of 4. */
  readonly gap: number | "to4";
}

/** Everything that a product depends on. */
interface Drawn {
  readonly sizes: Sizes;
  readonly layouts: Readonly<Record<Name, Layout>>;
  readonly present: Readonly<Record<"bias" | "perSample" | "residual", boolean>>;
  readonly alpha: number;
  readonly outputScale: number | undefined;
  readonly accumulate: boolean;
  readonly seed: number;
}

/** Strides of a layout per dimension, and the elements it spans. */
function strided(sizes: Sizes, { order, offset, gap }: Layout) {
  const strides: Partial<Record<keyof Sizes, number>> = {};
  let size = 1;
  for (const dimension of order.toReversed()) {
    strides[dimension] = size;
    const inner = size === 1;
    size *= sizes[dimension];
    if (inner) size = gap === "to4" ? Math.ceil(size / 4) * 4 : size + gap;
  }
  return { strides, offset, size: offset + Math.max(size, 1) };
}

const DIMENSIONS = {
  A: ["B1", "B2", "K1", "K2", "M"],
  B: ["B1", "B2", "K1", "K2", "N"],
  C: ["B1", "B2", "M", "N"],
  bias: ["M"],
  perSample: ["B1", "M"],
  residual: ["B1", "B2", "M", "N"],
} as const;

function layoutOf(name: Name): fc.Arbitrary<Layout> {
  const dimensions: readonly (keyof Sizes)[] = DIMENSIONS[name];
  return fc.record({
    // Often the order in which vec4 loads fit.
    order: fc.oneof(
      fc.constant(dimensions),
      fc.shuffledSubarray([...dimensions], { minLength: dimensions.length }),
    ),
    offset: fc.constantFrom(0, 0, 4, 3),
    gap: fc.constantFrom(0, 0, 4, 1, "to4" as const, "to4" as const),
  });
}

const size = (max: number): fc.Arbitrary<number> =>
  fc.oneof(
    fc.integer({ min: 1, max }),
    fc.integer({ min: 1, max: Math.ceil(max / 4) }).map((x) => 4 * x),
  );

function drawn(max: number): fc.Arbitrary<Drawn> {
  return fc.record({
    sizes: fc.record({
      B1: fc.integer({ min: 1, max: 3 }),
      B2: fc.integer({ min: 1, max: 2 }),
      M: size(max),
      N: size(max),
      K1: fc.integer({ min: 1, max: 3 }),
      K2: fc.integer({ min: 0, max: 19 }),
    }),
    layouts: fc.record({
      A: layoutOf("A"),
      B: layoutOf("B"),
      C: layoutOf("C"),
      bias: layoutOf("bias"),
      perSample: layoutOf("perSample"),
      residual: layoutOf("residual"),
    }),
    present: fc.record({ bias: fc.boolean(), perSample: fc.boolean(), residual: fc.boolean() }),
    alpha: fc.constantFrom(1, 0.125, -3),
    outputScale: fc.constantFrom(undefined, Math.SQRT2),
    accumulate: fc.boolean(),
    seed: fc.nat(),
  });
}

/** Which factors are float16. */
type Halves = Readonly<Record<"A" | "B", boolean>>;

const NONE: Halves = { A: false, B: false };

/** Float16 numbers as the words of a buffer. */
function halfWords(values: Float32Array): Uint32Array {
  const halves = new Float16Array(2 * Math.ceil(values.length / 2));
  halves.set(values);
  return new Uint32Array(halves.buffer);
}

/** The problem, its tensors, and C with its bound by the definition in double. */
function posed(d: Drawn, half: Halves = NONE) {
  const { B1, B2, M, N, K1, K2 } = d.sizes;
  const at = (name: Name) => {
    const { strides, offset, size } = strided(d.sizes, d.layouts[name]);
    const placed: Placed<Name> = {
      tensor: name,
      offset,
      b1: strides.B1 ?? 0,
      b2: strides.B2 ?? 0,
      m: strides.M ?? 0,
      n: strides.N ?? 0,
    };
    return { placed, size, k1: strides.K1 ?? 0, k2: strides.K2 ?? 0 };
  };
  const [a, b, c] = [at("A"), at("B"), at("C")];
  const addends = (["bias", "perSample", "residual"] as const).filter((x) => d.present[x]);
  const problem: GemmProblem<Name> = {
    ...d.sizes,
    a: { ...a.placed, k1: a.k1, k2: a.k2, i: a.placed.m!, half: half.A },
    b: { ...b.placed, k1: b.k1, k2: b.k2, i: b.placed.n!, half: half.B },
    c: c.placed,
    alpha: d.alpha,
    ...Object.fromEntries(addends.map((x) => [x, at(x).placed])),
    outputScale: d.outputScale,
    accumulate: d.accumulate,
  };
  const names: Name[] = ["A", "B", ...addends];
  const inputs = Object.fromEntries(
    names.map((x, i) => [x, normals(at(x).size, d.seed + i)]),
  ) as Record<Name, Float32Array>;
  // What a float16 holds is read exactly.
  for (const x of ["A", "B"] as const) if (half[x]) inputs[x] = inputs[x].map(Math.f16round);
  const before = normals(c.size, d.seed + 9);
  // Outside of C nothing may change; inside it nothing is read unless the product accumulates.
  const stored = (x: "A" | "B") => half[x] ? halfWords(inputs[x]) : inputs[x];
  const tensors = { ...inputs, A: stored("A"), B: stored("B"), C: before.slice() };
  const expected = Float64Array.from(before);
  const bound = new Float64Array(c.size);
  // K products and sums, alpha, the addends, a division of 2.5 ulp and the last sum.
  const n = K1 * K2 + 1 + addends.length + (d.outputScale ? 5 : 0) + (d.accumulate ? 1 : 0);
  const scale = Math.fround(d.outputScale ?? 1);
  for (let b1 = 0; b1 < B1; b1++) {
    for (let b2 = 0; b2 < B2; b2++) {
      for (let m = 0; m < M; m++) {
        for (let j = 0; j < N; j++) {
          const index = ({ offset, ...s }: Placed<Name>) =>
            offset! + b1 * s.b1! + b2 * s.b2! + m * s.m! + j * s.n!;
          let sum = 0, magnitude = 0;
          for (let k1 = 0; k1 < K1; k1++) {
            for (let k2 = 0; k2 < K2; k2++) {
              const term = inputs.A[index(a.placed) + k1 * a.k1 + k2 * a.k2] *
                inputs.B[index(b.placed) + k1 * b.k1 + k2 * b.k2] * d.alpha;
              sum += term;
              magnitude += Math.abs(term);
            }
          }
          for (const x of addends) {
            const term = inputs[x][index(at(x).placed)];
            sum += term;
            magnitude += Math.abs(term);
          }
          const i = index(c.placed);
          const old = d.accumulate ? before[i] : 0;
          if (!d.accumulate) tensors.C[i] = NaN;
          expected[i] = old + sum / scale;
          bound[i] = gamma(n) * (Math.abs(old) + magnitude / scale);
        }
      }
    }
  }
  return { problem, tensors, expected, bound };
}

async function product(
  variant: GemmVariant,
  d: Drawn,
  bounds?: Bound,
  half?: Halves,
): Promise<Float32Array> {
  const { problem, tensors, expected, bound } = posed(d, half);
  const { C } = await runLaunches([gemm(variant, problem)], tensors);
  bounds?.checkAll(C, expected, (i) => bound[i], "C");
  return C;
}

const SMALL: GemmVariant = { kind: "register", tiles: [{ V: 4, T: 4 }] };
const SINGLE_COLUMN: GemmVariant = { kind: "register", tiles: [{ V: 8, T: 1 }] };
const WORKGROUP_4: GemmVariant = { kind: "workgroup", tiles: [{ V: 4, T: 4 }] };
const LARGE: GemmVariant = { kind: "register", tiles: [{ V: 16, T: 16 }] };

const KEEPING: GemmVariant = { kind: "register", tiles: [{ V: 4, T: 4, keep: 5 }] };

/** The draw nearest to `d` that a tile can compute which keeps so many elements of its rows. */
function fitting(d: Drawn, keep: number): Drawn {
  const sizes = { ...d.sizes, K1: 1, K2: Math.max(d.sizes.K2, 1) };
  return { ...d, sizes, accumulate: d.accumulate && sizes.K2 <= keep };
}

for (
  const [name, variant, max, numRuns] of [
    ["naive", { kind: "naive" }, 40, 12],
    ["register 4x4", SMALL, 70, 24],
    ["register 8x1", SINGLE_COLUMN, 70, 6],
    ["register 16x16", LARGE, 150, 3],
    ["register, tile by size", REGISTER, 70, 6],
    ["workgroup 4x4", WORKGROUP_4, 150, 8],
    ["workgroup 8x4", { kind: "workgroup", tiles: [{ V: 8, T: 4 }] }, 150, 2],
    ["workgroup, tile by size", WORKGROUP, 40, 4],
  ] as const
) {
  gpuTest(`gemm ${name} is the sum of products, over layouts, batches and epilogues`, async () => {
    const bounds = new Bound("γ_n·(|C| + (|alpha|·Σ|A·B| + Σ|addends|)/outputScale)");
    await fc.assert(
      fc.asyncProperty(drawn(max), async (d) => void await product(variant, d, bounds)),
      { seed: 20, numRuns, endOnFailure: true },
    );
    bounds.settle(`gemm ${name}`);
  });
}

for (
  const [V, T, keep, max, numRuns] of [[4, 4, 5, 70, 24], [8, 1, 3, 70, 6], [16, 16, 128, 150, 3]]
) {
  const name = `gemm register ${V}x${T} that keeps ${keep} of a row`;
  gpuTest(`${name} is the sum of products, over layouts, batches and epilogues`, async () => {
    const variant: GemmVariant = { kind: "register", tiles: [{ V, T, keep }] };
    const bounds = new Bound("γ_n·(|C| + (|alpha|·Σ|A·B| + Σ|addends|)/outputScale)");
    await fc.assert(
      fc.asyncProperty(
        drawn(max),
        async (d) => void await product(variant, fitting(d, keep), bounds),
      ),
      { seed: 23, numRuns, endOnFailure: true },
    );
    bounds.settle(name);
  });
}

gpuTest(
  "gemm keeps rows for runs of tiles where there are more workgroups than enough, and fewer",
  async () => {
    const variant: GemmVariant = { kind: "register", tiles: [{ V: 4, T: 4, keep: 16 }] };
    const plain = { alpha: 1, outputScale: undefined, accumulate: false };
    const present = { bias: false, perSample: false, residual: false };
    const [layouts] = fc.sample(drawn(8), { seed: 24, numRuns: 1 }).map((d) => d.layouts);
    const bounds = new Bound("γ_n·Σ|A·B|");
    for (const [B1, N, K2] of [[1, 70, 40], [5, 70, 40], [40, 21, 16], [7, 400, 17], [1, 5, 33]]) {
      const sizes = { B1, B2: 1, M: 33, N, K1: 1, K2 };
      await product(variant, { ...plain, present, layouts, sizes, seed: N }, bounds);
    }
    bounds.settle("gemm of kept rows");
  },
);

gpuTest("gemm reads factors of float16, in every variant", async () => {
  const bounds = new Bound("γ_n·(|C| + (|alpha|·Σ|A·B| + Σ|addends|)/outputScale)");
  const halves = fc.constantFrom({ A: true, B: false }, { A: false, B: true }, {
    A: true,
    B: true,
  });
  await fc.assert(
    fc.asyncProperty(drawn(40), halves, async (d, half) => {
      await product({ kind: "naive" }, d, bounds, half);
      await product(SMALL, d, bounds, half);
      await product(WORKGROUP_4, d, bounds, half);
      await product(KEEPING, fitting(d, 5), bounds, half);
    }),
    { seed: 22, numRuns: 8, endOnFailure: true },
  );
  bounds.settle("gemm of float16");
}, "shader-f16");

gpuTest("gemm gives the same bits from every variant, tile and orientation", async () => {
  await fc.assert(
    fc.asyncProperty(drawn(40), async (d) => {
      const plain = { ...d, outputScale: undefined };
      const naive = await product({ kind: "naive" }, plain);
      assertEquals(await product(SMALL, plain), naive);
      assertEquals(await product(SINGLE_COLUMN, plain), naive);
      assertEquals(await product(WORKGROUP_4, plain), naive);
      const kept = fitting(plain, 5);
      assertEquals(await product(KEEPING, kept), await product({ kind: "naive" }, kept));
    }),
    { seed: 21, numRuns: 5, endOnFailure: true },
  );
});
