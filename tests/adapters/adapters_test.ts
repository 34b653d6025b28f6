import { assertEquals, assertStringIncludes } from "@std/assert";
import { startCandidate } from "../../src/cli/candidate_process.ts";
import { verify } from "../../src/oracle/verify/mod.ts";
import { lacks } from "../support/programs.ts";

const NO_PYTHON = lacks("python3"), NO_NODE = lacks("node");

/** Runs Python beside the client; fails with what it said. */
async function python(args: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("python3", {
    args: [...args],
    env: { PYTHONPATH: "adapters", PYTHONDONTWRITEBYTECODE: "1" },
  }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(decoder.decode(stderr));
  return decoder.decode(stdout);
}

async function verdicts(command: readonly string[]) {
  const { candidate, close } = await startCandidate(command, 60);
  try {
    const { ops } = await verify(candidate, { runs: 40 });
    return ops.filter(({ requests }) => requests > 0).map(({ op, verdict }) => `${op} ${verdict}`);
  } finally {
    await close();
  }
}

Deno.test(
  { name: "the template in Python is right in what it has", ignore: NO_PYTHON },
  async () => {
    assertEquals(
      await verdicts(["python3", "adapters/template.py"]),
      ["q_sample conforms", "q_posterior conforms", "loss_simple conforms"],
    );
  },
);

Deno.test(
  { name: "the template in JavaScript is right in what it has", ignore: NO_NODE },
  async () => {
    assertEquals(
      await verdicts(["node", "adapters/template.mjs"]),
      ["q_sample conforms", "ddim_step conforms", "loss_simple conforms"],
    );
  },
);

Deno.test(
  { name: "the example's tests pass, and fail for a wrong step", ignore: NO_PYTHON },
  async () => {
    assertEquals((await python(["adapters/test_with_oracle.py"])).match(/passed/g)?.length, 3);
    const wrong = `
import test_with_oracle as tests
tests.alpha_bar = lambda t, right=tests.alpha_bar: right(t - 1) if t > 0 else 1.0
for test in (tests.test_q_sample, tests.test_ddim_step):
    try:
        test()
    except (AssertionError, ZeroDivisionError):
        print("failed")
`;
    assertEquals(await python(["-c", wrong]), "failed\nfailed\n");
  },
);

Deno.test(
  { name: "the client returns nested lists, and infinities as numbers", ignore: NO_PYTHON },
  async () => {
    const asked = `
from ddpm_oracle import Oracle, tensor
class Array:
    def __init__(self, values): self.values = values
    def tolist(self): return self.values
with Oracle() as oracle:
    constant = {"kind": "constant", "T": 4, "beta": 0.75}
    x = tensor(Array([[[1, -1], [2, 0.5]]]))
    print(x["shape"], oracle.ask("q_sample", schedule=constant, t=2, x0=x, noise=x | {"data": [0] * 4}))
    print(oracle.ask("loss_weight", schedule=constant, t=[1], variance="betaTilde"))
    print(oracle.ask("timesteps", T=10, spacing="leading", steps=2))
`;
    assertEquals(
      await python(["-c", asked]),
      "[1, 2, 2] {'x': [[[0.25, -0.25], [0.5, 0.125]]]}\n{'w': [inf]}\n{'timesteps': [6, 1]}\n",
    );
  },
);

Deno.test({ name: "the client does not wait for ever", ignore: NO_PYTHON }, async () => {
  const said = await python([
    "-c",
    `
import time
from ddpm_oracle import Oracle, OracleBroken, OracleError, tensor
def attempt(command, asks=1, **options):
    try:
        with Oracle(command, **options) as oracle:
            for _ in range(asks): oracle.ask("hello")
    except OracleBroken as error:
        print(error)
attempt(["no-such-oracle"])
attempt(["python3", "-c", ""])
started = time.monotonic()
once = 'import time; print(\\'{"id": 1, "ok": true, "result": {}}\\', flush=True); time.sleep(60)'
attempt(["python3", "-c", once], asks=2, timeout=0.2)
print(time.monotonic() - started < 30)
attempt(["python3", "-c", 'print(\\'{"id": 9, "ok": true, "result": {}}\\', flush=True); input()'])
for bad in ([[1, 2], [3]], [1, [2]]):
    try:
        tensor(bad)
    except ValueError as error:
        print(error)
`,
  ]);
  const lines = said.trim().split("\n");
  assertStringIncludes(lines[0], "Expected to start no-such-oracle but got: ");
  assertEquals(lines.slice(1), [
    "Expected an answer to hello but the oracle ended",
    "Expected an answer to hello within 0.2 s but got none",
    "True",
    "Expected the answer with id 1 but got 9",
    "Expected a list of 2 but got [3]",
    "Expected a number but got [2]",
  ]);
});
