import { assert, assertEquals } from "@std/assert";
import { ops } from "../../src/oracle/ops/mod.ts";
import { LAYER_NAMES } from "../../src/oracle/ops/layer.ts";
import { protocolValidator } from "../support/json_schema.ts";
import { oracleInMemory } from "../support/oracle_session.ts";
import { CASES } from "./cases/mod.ts";

const docs = new URL("../../docs/", import.meta.url);
const protocol = Deno.readTextFileSync(new URL("protocol.md", docs));
const schema = JSON.parse(Deno.readTextFileSync(new URL("protocol.schema.json", docs)));

/** The examples of the document: requests, each followed by its answer. */
const examples: [request: string, answer: string][] = [
  ...protocol.matchAll(/```jsonl\n(.*?)```/gs),
].flatMap(([, block]) => {
  const lines = block.trim().split("\n");
  assertEquals(lines.length % 2, 0, "every example request has an answer");
  return lines.flatMap((line, i): [string, string][] => i % 2 === 0 ? [[line, lines[i + 1]]] : []);
});

Deno.test("protocol.md and its schema name every operation, and no other", () => {
  const inTables = [...protocol.matchAll(/^\| `(\w+)` +\|/gm)].map(([, name]) => name);
  for (const op of Object.keys(ops)) assert(inTables.includes(op), `${op} is not in a table`);
  for (const layer of LAYER_NAMES) assert(inTables.includes(layer), `${layer} is not in a table`);
  const served = ["hello", ...Object.keys(ops)];
  assertEquals(Object.keys(schema.$defs.requests), served);
  assertEquals(Object.keys(schema.$defs.results), served);
});

Deno.test("every operation has an example in protocol.md, and the oracle gives the answer printed there", () => {
  const { oracle } = oracleInMemory();
  const shown = new Set<string>();
  for (const [request, answer] of examples) {
    assertEquals(oracle.answer(request), answer);
    shown.add(JSON.parse(request).op);
  }
  assertEquals(["hello", ...Object.keys(ops)].filter((op) => !shown.has(op)), []);
});

Deno.test("the examples are valid under the schema, apart from the one that shows an error", () => {
  const validator = protocolValidator();
  for (const [request, answer] of examples) {
    const asked = JSON.parse(request), answered = JSON.parse(answer);
    assertEquals(validator.fault("#/$defs/answer", answered), null);
    assertEquals(validator.fault("#/$defs/request", asked) === null, answered.ok, request);
    if (!answered.ok) continue;
    assertEquals(validator.fault(`#/$defs/results/${asked.op}`, answered.result), null, request);
  }
});

Deno.test("the schema refuses a request without any one of its required fields", () => {
  const validator = protocolValidator();
  const { oracle } = oracleInMemory();
  for (const { name, request } of CASES) {
    for (const field of Object.keys(request)) {
      const { [field]: _, ...without } = request;
      const fault = validator.fault("#/$defs/request", without);
      const { ok } = JSON.parse(oracle.answer(JSON.stringify(without)));
      // The oracle and the schema agree on what may be left out.
      assertEquals(fault === null, ok, `${name} without ${field}: ${fault}`);
    }
  }
});
