/**
 * Programs besides Deno that tests need. Where one is missing its tests are ignored, and a line says so; in CI,
 * which is where CI or DDPM_REQUIRE_WEBGPU is set, a test fails.
 *
 * @module
 */
import { note } from "../../src/cli/terminal.ts";

function isSet(variable: string): boolean {
  return !["", "0", "false", undefined].includes(Deno.env.get(variable));
}

function starts(program: string): boolean {
  try {
    return new Deno.Command(program, { args: ["--version"], stdout: "null", stderr: "null" })
      .outputSync().success;
  } catch {
    return false;
  }
}

/** Whether the tests that need a program are to be ignored. */
export function lacks(program: string): boolean {
  if (starts(program)) return false;
  note(`not tested: ${program} is not installed`);
  if (isSet("CI") || isSet("DDPM_REQUIRE_WEBGPU")) {
    Deno.test(`${program} is installed, as CI requires`, () => {
      throw new Error(`Expected ${program} but it does not start: install it, or unset CI`);
    });
  }
  return true;
}
