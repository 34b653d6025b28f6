/**
 * `deno task mutants:kernels`: do the tests of the device path notice when a kernel is wrong? Mistakes
 * are planted in every kernel's shader and in the code around it, one at a time; each must make a
 * comparison with the reference fail.
 *
 * @module
 */
import { runCommand } from "../../src/cli/terminal.ts";
import { type Campaign, runCampaign } from "./campaign.ts";
import { allMutants, type Mutant, targetsOf } from "./candidates.ts";
import { KERNEL_OPERATORS } from "./kernel_operators.ts";
import { LEFT } from "./kernel_units.ts";
import { EQUIVALENT_KERNELS } from "./kernels_equivalent.ts";
import { parse, sourcesUnder } from "./program.ts";
import { type Suite, testFiles } from "./runner.ts";

/** Tests by the source that they are of, where it is not the source's own name. */
const TESTS_OF: Readonly<Record<string, readonly string[]>> = {
  gemm_naive: ["gemm"],
  gemm_problem: ["gemm"],
  gemm_register: ["gemm"],
  gemm_workgroup: ["gemm"],
  grad_norm: ["optimizer"],
  layout: ["reduce", "group_norm", "softmax"],
  map: ["elementwise"],
  optimizer_step: ["optimizer"],
  sampler_rows: ["sampler_rows", "sampler"],
  silu: ["elementwise"],
  winograd_code: ["winograd"],
  winograd_images: ["winograd"],
  winograd_kernels: ["winograd"],
  winograd_matrices: ["winograd"],
};

/** Tests that no kernel has of its own: of plans, networks, errors and loops. They take long. */
const OF_WHOLES =
  /^(conv_layers|determinism|device|errors|sampler_loop|training|unet|variants_file|\w*golden\w*)_test\.ts$/;

/** What a device says to a shader that it cannot compile, and a runtime to a script. */
const NO_PROGRAM = /shader.*(parsing|validation) error|SyntaxError|is not defined/i;

/** The files that `path` imports, itself among them, directly or not. */
function imported(path: string, found: Set<string> = new Set()): Set<string> {
  if (found.has(path)) return found;
  found.add(path);
  for (const [, to] of Deno.readTextFileSync(path).matchAll(/from "(\.[^"]+)"/g)) {
    imported(new URL(to, `file://${path}`).pathname, found);
  }
  return found;
}

function kernelTests(root: string, part?: string): Suite {
  const folder = "tests/webgpu";
  const files = testFiles(`${root}/${folder}`, part).filter((name) => !OF_WHOLES.test(name));
  const reach = new Map(files.map((name) => [name, imported(`${root}/${folder}/${name}`)]));
  const sourceOf = ({ file }: Mutant): string => file.split("/").pop()!.replace(".ts", "");
  return {
    folder,
    files,
    permissions: ["--allow-read", "--allow-env", "--allow-sys"],
    env: { SHRINK: "no", DDPM_REQUIRE_WEBGPU: "1" },
    order: (mutant) => {
      const own = (TESTS_OF[sourceOf(mutant)] ?? [sourceOf(mutant)])
        .map((name) => `${name}_test.ts`).filter((name) => files.includes(name));
      const others = files.filter((name) =>
        !own.includes(name) && reach.get(name)?.has(`${root}/${mutant.file}`)
      );
      return [...own.map((name) => [name]), others];
    },
    isStillborn: (output) => NO_PROGRAM.test(output),
  };
}

/** The campaign against the kernels under `root`. */
export function kernelCampaign(root: string): Campaign {
  const beside = ["arena", "sampler_rows", "time_rows", "weights"];
  const program = parse([
    ...sourcesUnder(`${root}/src/webgpu/kernels`),
    ...beside.map((name) => `${root}/src/webgpu/${name}.ts`),
  ]);
  return {
    purpose: "Plants mistakes in the kernels and counts how many their tests catch.",
    task: "mutants:kernels",
    possible: allMutants(program, root, KERNEL_OPERATORS, new Set(Object.keys(LEFT))),
    equivalent: EQUIVALENT_KERNELS,
    targets: targetsOf(program, root).filter(({ name }) => !(name in LEFT)),
    quota: { exported: [0, 60, 140], private: [20, 120], perOperator: 4 },
    suite: (part) => kernelTests(root, part),
  };
}

if (import.meta.main) {
  const campaign = kernelCampaign(Deno.cwd());
  Deno.exit(await runCommand((args) => runCampaign(campaign, [...args]), Deno.args));
}
