import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ALIGNMENT } from "../../src/webgpu/plan.ts";
import { trainingPlan, unetPlan } from "../../src/webgpu/unet_plan.ts";
import { defaultVariants } from "../../src/webgpu/variants.ts";
import type { PlanListing } from "../../src/cli/plan_listing.ts";
import { gpuTest } from "../webgpu/gpu_test.ts";
import { cli, inFolder, MICRO } from "./support.ts";

const MAIN = new URL("../../src/cli/main.ts", import.meta.url).pathname;
const FLAGS = ["info", "--plan", "--config", "unet.json", "--batch", "3", "--class", "discrete"];

function plan(training: boolean) {
  const variants = defaultVariants("discrete");
  const request = { config: MICRO, batch: 3, height: 8, width: 8, variants };
  return (training ? trainingPlan(request) : unetPlan({ ...request, streamed: true })).plan;
}

Deno.test("info --plan --json lists every launch with its numbers, and where its tensors lie", async () => {
  await inFolder(async (folder) => {
    for (const training of [false, true]) {
      const { launches, sizes } = plan(training);
      const { code, stdout, stderr } = await cli(
        folder,
        ...[...FLAGS, "--json", ...training ? ["--training"] : []],
      );
      assertEquals(code, 0, stderr);
      const listing = JSON.parse(stdout) as PlanListing;
      assertEquals(listing.launches.length, launches.length);
      listing.launches.forEach((listed, i) => {
        const { kernel, layer, phase, workgroups, flops, bytes, params, operands } = launches[i];
        assertEquals(
          [listed.kernel, listed.layer, listed.phase, listed.workgroups, listed.flops],
          [kernel, layer, phase, [...workgroups], flops],
        );
        assertEquals([listed.bytes, Object.keys(listed.params).length], [bytes, params.length]);
        for (const [k, { offset, buffer, bytes }] of listed.operands.entries()) {
          const { tensor } = operands[k];
          assertEquals([offset, bytes, buffer], [
            4 * tensor.offset,
            4 * tensor.size,
            tensor.buffer,
          ]);
          const whole = listing.buffers[tensor.buffer] ?? 0;
          assert(offset % (4 * ALIGNMENT) === 0 && offset + bytes <= whole, JSON.stringify(listed));
        }
      });
      const flops = launches.reduce((sum, launch) => sum + launch.flops, 0);
      assertEquals(Object.values(listing.phases).reduce((sum, p) => sum + p.flops, 0), flops);
      assertEquals(listing.buffers.arena, 4 * sizes.arena);
      assert(listing.liveMaximum > 0 && listing.liveMaximum <= 4 * sizes.arena);
    }
  });
});

Deno.test("info --plan gives params by the names that shaders have for them", async () => {
  await inFolder(async (folder) => {
    const { stdout } = await cli(folder, ...FLAGS, "--json");
    const { launches } = JSON.parse(stdout) as PlanListing;
    const norms = launches.filter(({ kernel }) => kernel.startsWith("groupNorm."));
    assert(norms.length > 0);
    for (const { params } of norms) {
      // ε = 1e−5 as a float32, and not its bits.
      assertEquals([params.groups, params.eps], [MICRO.normNumGroups, Math.fround(MICRO.normEps)]);
    }
  });
});

Deno.test("info --plan as text has a line per launch, the totals and the arena's share", async () => {
  await inFolder(async (folder) => {
    const { stdout } = await cli(folder, ...FLAGS, "--training");
    const { launches } = plan(true);
    const listed = stdout.match(/^#\d+ .*$/gm) ?? [];
    assertEquals(listed.length, launches.length);
    listed.forEach((line, i) => assertStringIncludes(line, launches[i].kernel));
    assertMatch(stdout, /^moment2 +\d+\.\d+ MB$/m);
    assertMatch(stdout, /^the arena is 1\.\d\d times what is live at once, [\d.]+ MB$/m);
    assertMatch(stdout, /planned for a discrete adapter/);
  });
});

/** Command lines that cannot work, the exit code, and what the one line on stderr says. */
const CASES: readonly (readonly [args: string[], code: 1 | 2, message: string])[] = [
  [["--batch", "2"], 2, "Expected --batch only with --plan"],
  [["--plan", "--class", "cpu"], 2, "but got cpu"],
  [["--plan", "--preset", "huge"], 2, "but got huge"],
  [
    ["--plan", "--class", "software", "--height", "9"],
    1,
    "Expected height and width to be multiples",
  ],
  [["--plan", "--config", "none.json"], 1, "Expected a U-Net config in none.json"],
  [["--plan", "--config", "open.json"], 2, "Expected --height and --width for open.json"],
  [["--plan", "--variants", "unet.json"], 1, "Expected a variant table in unet.json"],
  [["--plan", "--variants", "x", "--class", "software"], 2, "Expected --class or --variants"],
];

Deno.test("an info that cannot work ends in one sentence and the right exit code", async () => {
  await inFolder(async (folder) => {
    const open = { sample_size: null, block_out_channels: [64, 64, 64, 64] };
    await Deno.writeTextFile(`${folder}/open.json`, JSON.stringify(open));
    for (const [args, code, message] of CASES) {
      const found = await cli(folder, "info", ...args);
      assertEquals([found.code, found.stdout], [code, ""], args.join(" "));
      assertStringIncludes(found.stderr, message);
      assertMatch(found.stderr, /^error: [^\n]+\n$/);
    }
  });
});

Deno.test({
  name: "without an adapter info says so, and info --plan plans for a software one",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const run = async (...args: string[]) => {
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--quiet", "--no-prompt", "--allow-read", MAIN, "info", ...args],
        // Vulkan alone, and none of its drivers.
        env: { NO_COLOR: "1", DENO_WEBGPU_BACKEND: "vulkan", VK_DRIVER_FILES: "/none" },
      }).output();
      const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
      return { code, stdout: text(stdout), stderr: text(stderr) };
    };
    const lone = await run();
    assertEquals([lone.code, lone.stdout], [1, ""]);
    assertStringIncludes(lone.stderr, "error: Expected a WebGPU adapter but found none");
    const planned = await run("--plan", "--preset", "mnist-tiny");
    assertEquals(planned.code, 0, planned.stderr);
    assertStringIncludes(planned.stderr, "no WebGPU adapter: planned for a software one");
    assertStringIncludes(planned.stdout, "planned for a software adapter");
  },
});

gpuTest("info says what the adapter is and which limits it has", async () => {
  await inFolder(async (folder) => {
    const { code, stdout, stderr } = await cli(folder, "info", "--json");
    assertEquals(code, 0, stderr);
    const { adapter, adapterClass, limits, used } = JSON.parse(stdout);
    assert(adapter.length > 0);
    assert(["software", "integrated", "discrete"].includes(adapterClass));
    // The raised limit is what the adapter has.
    const size = limits.find(({ name }: { name: string }) => name === "maxBufferSize");
    assertEquals(size.requested, size.adapter);
    assert(Array.isArray(used));
    const text = await cli(folder, "info");
    assertStringIncludes(text.stdout, adapter);
    const other = await cli(folder, "info", "--adapter", "no such adapter");
    assertEquals([other.code, other.stdout], [1, ""]);
    assertStringIncludes(other.stderr, `named like "no such adapter" but found "${adapter}"`);
    assertMatch(text.stdout, /^maxStorageBufferBindingSize +[\d,]+ +[\d,]+$/m);
  });
});
