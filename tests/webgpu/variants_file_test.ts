/**
 * Variant tables as JSON: what is written is read back, and what no table can say is refused by name.
 */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { convCandidates, convKey, otherCandidates } from "../../src/webgpu/variants.ts";
import {
  parseConvKey,
  type VariantTable,
  variantTableFromJson,
  variantTableToJson,
} from "../../src/webgpu/variants_file.ts";
import { forAll } from "../support/property.ts";

const count = fc.integer({ min: 1, max: 1024 });
const layers = fc.record({
  kernel: fc.constantFrom(1, 3, 5),
  stride: fc.constantFrom(1, 2),
  C: count,
  O: count,
  H: count,
  W: count,
});
const multipleOf4 = fc.integer({ min: 1, max: 16 }).map((n) => 4 * n);
const registerTile = fc.record({ V: multipleOf4, T: fc.integer({ min: 1, max: 64 }) });
const keepingTile = fc.record(
  { V: multipleOf4, T: fc.integer({ min: 1, max: 64 }), keep: fc.integer({ min: 1, max: 512 }) },
  { requiredKeys: ["V", "T"] },
);
const workgroupTile = fc.record({ V: multipleOf4, T: multipleOf4 });
const some = { minLength: 1, maxLength: 4 };
const tables: fc.Arbitrary<VariantTable> = fc.record({
  adapter: fc.string(),
  adapterClass: fc.constantFrom("software" as const, "integrated" as const, "discrete" as const),
  variants: fc.record({
    gemm: fc.oneof(
      fc.constant({ kind: "naive" as const }),
      fc.record({
        kind: fc.constant("register" as const),
        tiles: fc.tuple(fc.array(keepingTile, { maxLength: 3 }), registerTile)
          .map(([others, last]) => [...others, last]),
      }),
      fc.record({
        kind: fc.constant("workgroup" as const),
        tiles: fc.array(workgroupTile, some),
      }),
    ),
    other: fc.constantFrom("naive" as const, ...otherCandidates(new Set(["subgroups"]))),
    convolutions: fc.array(
      layers.chain((layer) =>
        fc.constantFrom(...convCandidates(layer)).map((algorithm) =>
          [convKey(layer), algorithm] as const
        )
      ),
      { maxLength: 8 },
    ).map((entries) => Object.fromEntries(entries)),
    weights: fc.constantFrom("f32" as const, "f16" as const),
  }, { requiredKeys: ["gemm", "other", "convolutions"] }),
});

Deno.test("a variant table comes back from its JSON as it was", () => {
  forAll(tables, 200, (table) => {
    const text = JSON.stringify(variantTableToJson(table));
    assertEquals(variantTableFromJson(JSON.parse(text)), table);
  });
});

Deno.test("parseConvKey is the inverse of convKey", () => {
  forAll(layers, 200, (layer) => assertEquals(parseConvKey(convKey(layer)), layer));
});

const GOOD = {
  format: "ddpm-variants/1",
  adapter: "llvmpipe",
  adapterClass: "software",
  gemm: { kind: "register", tiles: [{ V: 16, T: 4 }] },
  other: "lanes",
  convolutions: { "conv3x3/1 8->8 @4x4": "winograd2" },
};

/** What a table may not be, and the end of the sentence that says so. */
const BAD: readonly (readonly [json: unknown, message: string])[] = [
  [null, "Expected an object for a variant table but got null"],
  [[GOOD], "Expected an object for a variant table"],
  [{ ...GOOD, format: "ddpm-variants/2" }, `Expected format "ddpm-variants/1" of a variant table`],
  [{ ...GOOD, batch: 8 }, `Expected a field of a variant table but got "batch"`],
  [{ ...GOOD, adapter: 5 }, "Expected text for adapter but got 5"],
  [
    { ...GOOD, adapterClass: "cpu" },
    "Expected software or integrated or discrete for adapterClass",
  ],
  [{ ...GOOD, other: undefined }, "Expected naive or lanes or workgroup or subgroups for other"],
  [{ ...GOOD, gemm: "register" }, "Expected an object for gemm"],
  [{ ...GOOD, gemm: { kind: "tiled" } }, "for gemm.kind but got"],
  [{ ...GOOD, gemm: { kind: "naive", tiles: [] } }, `Expected a field of gemm but got "tiles"`],
  [{ ...GOOD, gemm: { kind: "register", tiles: [] } }, "Expected tiles for gemm"],
  [{ ...GOOD, gemm: { kind: "register", tiles: [{ V: 6, T: 4 }] } }, "multiple of 4 but got 6"],
  [{ ...GOOD, gemm: { kind: "register", tiles: [{ V: 8, T: 0 }] } }, "Expected T of a tile"],
  [{ ...GOOD, gemm: { kind: "register", tiles: [{ V: 8, T: 4, keep: 0 }] } }, "keep of a tile"],
  [
    { ...GOOD, gemm: { kind: "register", tiles: [{ V: 8, T: 4, keep: 9 }] } },
    "Expected a tile of gemm without keep",
  ],
  [
    { ...GOOD, gemm: { kind: "workgroup", tiles: [{ V: 8, T: 4, keep: 9 }] } },
    `Expected a field of a tile of gemm but got "keep"`,
  ],
  [
    { ...GOOD, gemm: { kind: "register", tiles: [{ V: 8, T: 4, W: 1 }] } },
    `Expected a field of a tile of gemm but got "W"`,
  ],
  [
    { ...GOOD, gemm: { kind: "workgroup", tiles: [{ V: 8, T: 6 }] } },
    "T of a tile to be a multiple of 4 but got 6",
  ],
  [{ ...GOOD, gemm: { kind: "workgroup", tiles: [{ R: 8, S: 4 }] } }, `of gemm but got "R"`],
  [{ ...GOOD, weights: "f64" }, `Expected f32 or f16 for weights but got "f64"`],
  [{ ...GOOD, convolutions: [] }, "Expected an object for convolutions"],
  [
    { ...GOOD, convolutions: { "conv3x3/1 8->8": "im2col" } },
    "Expected a convolution like conv3x3",
  ],
  [{ ...GOOD, convolutions: { "conv3x3/1 08->8 @4x4": "im2col" } }, "Expected a convolution like"],
  [{ ...GOOD, convolutions: { "conv3x5/1 8->8 @4x4": "im2col" } }, "Expected a convolution like"],
  [
    { ...GOOD, convolutions: { "conv3x3/2 8->8 @4x4": "winograd2" } },
    "Expected im2col for conv3x3/2 8->8 @4x4",
  ],
];

Deno.test("a variant table that cannot be is refused with a sentence that names the field", () => {
  variantTableFromJson(GOOD);
  for (const [json, message] of BAD) {
    const error = assertThrows(() => variantTableFromJson(json), ArgumentError);
    assertStringIncludes(error.message, message);
  }
});
