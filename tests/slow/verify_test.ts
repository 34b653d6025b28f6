/**
 * Every fault that right.py can plant is found within the default number of requests, and right
 * candidates conform whatever the seed. Some three minutes.
 */
import { assert, assertEquals } from "@std/assert";
import { verify } from "../../src/oracle/verify/mod.ts";
import { startCandidate } from "../../src/cli/candidate_process.ts";

const RIGHT = ["python3", new URL("../candidates/right.py", import.meta.url).pathname];
const FLOAT32 = [
  ...[Deno.execPath(), "run", "--no-prompt"],
  new URL("../candidates/float32.mjs", import.meta.url).pathname,
];

/** Verifies right.py, or another candidate, with flags of its own. */
async function verified(
  flags: string[],
  options: Parameters<typeof verify>[1],
  candidate: readonly string[] = RIGHT,
) {
  let close = async () => {};
  const open = async () => {
    await close();
    const process = await startCandidate([...candidate, ...flags], 60);
    close = process.close;
    return process.candidate;
  };
  const files = {
    folder: await Deno.makeTempDir(),
    readFile: Deno.readFileSync,
    writeFile: Deno.writeFileSync,
  };
  try {
    return await verify(open, { files, ...options });
  } finally {
    await close();
    await Deno.remove(files.folder, { recursive: true });
  }
}

const { stdout } = await new Deno.Command(RIGHT[0], {
  args: [RIGHT[1], "--list-faults"],
}).output();
const FAULTS: Record<string, string> = JSON.parse(new TextDecoder().decode(stdout));

/** Numbers in the tensors of a request. */
function numbersIn(value: unknown): number {
  if (Array.isArray(value)) return value.reduce((sum, entry) => sum + numbersIn(entry), 0);
  if (typeof value === "object" && value !== null) {
    return Object.entries(value).reduce(
      (sum, [name, entry]) => sum + (name === "shape" ? 0 : numbersIn(entry)),
      0,
    );
  }
  return typeof value === "number" ? 1 : 0;
}

Deno.test("there are faults enough", () => {
  assert(Object.keys(FAULTS).length >= 80);
});

for (const [fault, op] of Object.entries(FAULTS)) {
  Deno.test(`${fault} is found in ${op}`, async () => {
    const { ops } = await verified(["--fault", fault], { ops: [op] });
    assertEquals(ops[0].verdict, "deviates");
    const request = ops[0].failure?.request;
    assert(numbersIn(request) <= 40, JSON.stringify(request));
  });
}

for (const flags of [[], ["--float32"], ["--cast"]]) {
  Deno.test(`right.py ${flags} conforms for 20 seeds`, async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { verdict, ops } = await verified(flags, { seed });
      assertEquals(verdict, "conforms", JSON.stringify(ops.filter(({ failure }) => failure)));
    }
  });
}

Deno.test("float32.mjs conforms for 20 seeds", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { verdict, ops } = await verified([], { seed }, FLOAT32);
    assertEquals(verdict, "conforms", JSON.stringify(ops.filter(({ failure }) => failure)));
  }
});
