/**
 * The library in a browser: bundled, opened in headless Chromium, and compared with the reference. Without
 * Chromium it fails where DDPM_REQUIRE_BROWSER is 1, as in CI, and is otherwise reported as ignored.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { findBrowser } from "../../src/cli/setup.ts";
import { selectTimesteps } from "../../src/reference/respacing.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import { unetConfig } from "../../src/spec/unet_config.ts";
import { type Parameters, unetParameters } from "../../src/spec/unet_parameters.ts";
import { defaultVariants, samplerTimes, type Variant } from "../../src/webgpu/mod.ts";
import { Bound } from "../support/bound.ts";
import { normals } from "../support/layers.ts";
import { expectedSample } from "../support/sampling_bounds.ts";
import { checkResults, expectedResults, FORMULA, scalar } from "../support/webgpu_bounds.ts";
import { bundle } from "./bundle.ts";
import { postedBy } from "./chromium.ts";
import { type Answer, packed, packedAll, unpacked, unpackedAll, type Work } from "./exchange.ts";

const ENTRY = "src/webgpu/mod.ts";
const PAGE = "tests/browser/page.ts";
const HTML = `<!doctype html>
<script>
  const fail = (error) =>
    fetch("/answer", { method: "POST", body: JSON.stringify({ error: String(error) }) });
  addEventListener("error", ({ message }) => fail(message));
  addEventListener("unhandledrejection", ({ reason }) => fail(reason));
</script>
<script type="module" src="/${PAGE.replace(/ts$/, "js")}"></script>
`;
const SECONDS = 300;

/** What a browser does not have. */
const FOREIGN = /\bDeno\b|\bnode:|\brequire\(|\bprocess\.|\bBuffer\./;

Deno.test("the bundle of ./webgpu names nothing that a browser does not have", async () => {
  const modules = await bundle(ENTRY);
  assertEquals([...modules.keys()], [`/${ENTRY.replace(/ts$/, "js")}`]);
  for (const text of modules.values()) {
    assertMatch(text, /requestAdapter/);
    const lines = text.split("\n").filter((line) => FOREIGN.test(line));
    assertEquals(lines, []);
  }
});

/** Two levels of 16×16 and 8×8 pixels: between them every algorithm for a convolution, and attention. */
const CONFIG = unetConfig({
  sampleSize: 16,
  downBlockTypes: ["DownBlock2D", "AttnDownBlock2D"],
  upBlockTypes: ["AttnUpBlock2D", "UpBlock2D"],
  blockOutChannels: [8, 12],
  layersPerBlock: 1,
  normNumGroups: 4,
  attentionHeadDim: null,
});

const SEED = 20200619;

/** Parameters none of which is zero or one: weights of variance 1/fanIn, biases and norms around their start. */
const parameters: Parameters = new Map(
  unetParameters(CONFIG).map(({ name, shape, initialiser }, number) => {
    const noise = normals(SEED, number, shape);
    const scale = shape.length > 1 ? shape.slice(1).reduce((a, b) => a * b, 1) ** -0.5 : 0.2;
    const start = initialiser === "ones" ? 1 : 0;
    return [name, { shape, data: noise.data.map((z) => start + scale * z) }];
  }),
);

const SHAPE = [2, 3, 16, 16];
const x = normals(SEED, 1000, SHAPE), target = normals(SEED, 1001, SHAPE);
const keep = selectTimesteps({ T: 1000, spacing: "leading", steps: 4 }).reverse();
const schedule = createSchedule({ ...DDPM_SCHEDULE, keep });
const timesteps = [3, 650];
/**
 * The software adapters' variant, the one that real GPUs get, and the one that needs subgroups: Deno offers
 * no adapter with those, Chromium's SwiftShader does, so that this is where its kernels are tested.
 */
const VARIANTS: readonly Variant[] = ["lanes", "workgroup", "subgroups"];
const TRAINED: readonly Variant[] = ["lanes", "subgroups"];

const chromium = await findBrowser();
const required = Deno.env.get("DDPM_REQUIRE_BROWSER") === "1";

Deno.test({
  name: "in headless Chromium, a sampling loop and a training step are the reference's",
  ignore: chromium === "" && !required,
  fn: async () => {
    if (chromium === "") {
      throw new Error("Expected Chromium but found none: DDPM_REQUIRE_BROWSER=1 deno task setup");
    }
    const work: Work = {
      config: CONFIG,
      parameters: packedAll(parameters),
      x: packed(x),
      loop: {
        variants: VARIANTS,
        times: samplerTimes(schedule),
        steps: {
          kind: "ddim",
          prediction: "epsilon",
          eta: 0,
          clipRange: null,
          rederiveEpsilon: false,
        },
      },
      training: { variants: TRAINED, target: packed(target), timesteps },
    };
    const files = await bundle(ENTRY, PAGE);
    files.set("/index.html", HTML).set("/work.json", JSON.stringify(work));
    const answer: Answer = JSON.parse(await postedBy(chromium, files, "/index.html", SECONDS));
    if ("error" in answer) throw new Error(`Expected an answer but the page met ${answer.error}`);
    assertMatch(answer.adapter, /swiftshader/i);

    const ofSamples = new Bound(FORMULA);
    // Variants of other kernels than the convolutions' differ in the order of their sums alone.
    const software = defaultVariants("software");
    const sample = await expectedSample({ config: CONFIG, parameters, schedule, xT: x }, software);
    for (const variant of VARIANTS) {
      checkResults(ofSamples, new Map([["x0", unpacked(answer.samples[variant])]]), sample);
    }
    ofSamples.settle("samples in a browser");

    const expected = expectedResults({ config: CONFIG, parameters, x, target, timesteps });
    for (const variant of TRAINED) {
      const { loss, gradients } = answer.trained[variant];
      const ofGradients = new Bound(FORMULA);
      checkResults(ofGradients, unpackedAll(gradients), expected);
      ofGradients.settle(`gradients in a browser, ${variant}`);
      // A single number can be nearly right by chance, so this bound is not settled.
      checkResults(new Bound(FORMULA), new Map([["loss", scalar(loss)]]), expected);
    }
  },
});
