/**
 * `deno task mutants`: do the properties notice when an equation is wrong? Mistakes are planted in
 * every exported function of the reference, one at a time; each must make a property fail, without
 * golden data.
 *
 * @module
 */
import { runCampaign } from "./campaign.ts";
import { allMutants, targetsOf } from "./candidates.ts";
import { EQUIVALENT } from "./equivalent.ts";
import { parse, sourcesUnder } from "./program.ts";
import { runCommand } from "../../src/cli/terminal.ts";
import { properties } from "./runner.ts";

if (import.meta.main) {
  const root = Deno.cwd();
  const program = parse(sourcesUnder(`${root}/src/reference`));
  const campaign = {
    purpose: "Plants mistakes in the reference and counts how many the properties catch.",
    task: "mutants",
    possible: allMutants(program, root),
    equivalent: EQUIVALENT,
    targets: targetsOf(program, root),
    suite: (part: string | undefined) => properties(root, part),
  };
  Deno.exit(await runCommand((args) => runCampaign(campaign, [...args]), Deno.args));
}
