/** What vectors hold: every option, valid requests, tensors that fit the answers, the same bytes again. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import { createOracle } from "../../src/oracle/mod.ts";
import { ops as OPS } from "../../src/oracle/ops/mod.ts";
import { makeVectors } from "../../src/oracle/vectors/mod.ts";
import { showingAll } from "../../src/oracle/vectors/options_of.ts";
import { ArgumentError } from "../../src/math/errors.ts";
import { decodeSafetensors, encodeSafetensors, storedTensor } from "../../src/spec/safetensors.ts";
import { protocolValidator } from "../support/json_schema.ts";

type Json = Readonly<Record<string, unknown>>;

const provenance = { version: "0.1.0", runtime: "this one" };
const files = await makeVectors({ seed: 1, provenance });
const parsed = (path: string) => JSON.parse(new TextDecoder().decode(files.get(path)));
const pairsOf = (op: string): { request: Json; response: Json & { result: Json } }[] =>
  parsed(`${op}.json`).pairs;
const schema = JSON.parse(
  Deno.readTextFileSync(new URL("../../docs/protocol.schema.json", import.meta.url)),
);

/** Every text and switch that a schema allows, by path: `prediction=epsilon`. */
function optionsIn(node: unknown, path: string): string[] {
  if (Array.isArray(node)) return node.flatMap((inner) => optionsIn(inner, path));
  if (typeof node !== "object" || node === null) return [];
  const { $ref, const: only, enum: some, type, properties, anyOf, oneOf } = node as Json;
  const values = [only, some ?? []].flat().filter((value) => typeof value === "string");
  const switches = type === "boolean" ? [true, false] : [];
  return [
    ...[...values, ...switches].map((value) => `${path}=${value}`),
    ...typeof $ref === "string" ? optionsIn(schema.$defs[$ref.slice("#/$defs/".length)], path) : [],
    ...optionsIn(anyOf, path),
    ...optionsIn(oneOf, path),
    ...Object.entries(properties ?? {}).flatMap(([name, inner]) =>
      optionsIn(inner, path === "" ? name : `${path}.${name}`)
    ),
  ];
}

function valueAt(request: unknown, path: string): unknown {
  return path.split(".").reduce(
    (value, name) => (value as Json | null | undefined)?.[name],
    request,
  );
}

Deno.test("every text and switch that the protocol's schema lists occurs in the vectors of its operation", () => {
  const missing = Object.keys(OPS).flatMap((op) => {
    const listed = optionsIn(schema.$defs.requests[op], "");
    assert(listed.includes(`op=${op}`));
    return listed.filter((option) => {
      const [path, value] = option.split("=");
      // Absent, a switch is off: there it need not be written.
      const absent = path === "schedule.zeroTerminalSnr" && value === "false";
      return !absent &&
        !pairsOf(op).some(({ request }) => String(valueAt(request, path)) === value);
    }).map((option) => `${op}: ${option}`);
  });
  assertEquals(missing, []);
});

Deno.test("of drawn requests the first are kept, and each that shows a new text, switch, field or kind", () => {
  const step = (t: unknown, clip: unknown, more = {}) => ({ op: "ddim_step", t, clip, ...more });
  const first = step(1, null), again = step(2, null);
  const fresh = [
    step([1], null),
    step(1, { kind: "static" }),
    step(1, { kind: "dynamic" }),
    step(1, null, { eta: 0 }),
    step(1, null, { rederiveEpsilon: true }),
    step(1, null, { rederiveEpsilon: false }),
  ];
  const drawn = [first, again, ...fresh.flatMap((request) => [request, request])];
  assertEquals(showingAll(drawn, 1), [first, ...fresh]);
  assertEquals(showingAll(drawn, 2), [first, again, ...fresh]);
});

Deno.test("requests are valid and answered, and the tables of every process that occurs are among them", () => {
  const validator = protocolValidator();
  const tables = new Set(
    pairsOf("schedule").map(({ request }) => JSON.stringify(request.schedule)),
  );
  for (const op of Object.keys(OPS)) {
    assertEquals(pairsOf(op).map(({ request }) => request.id), pairsOf(op).map((_, i) => i + 1));
    for (const { request, response } of pairsOf(op)) {
      assertEquals(validator.fault(`#/$defs/requests/${op}`, request), null);
      assertEquals(validator.fault(`#/$defs/results/${op}`, response.result), null);
      assertEquals([response.id, response.ok], [request.id, true]);
      if (request.schedule !== undefined) assert(tables.has(JSON.stringify(request.schedule)), op);
    }
  }
});

Deno.test("the manifest lists every other file with its checksum, length and count", () => {
  const { files: listed, seed } = parsed("manifest.json");
  assertEquals(seed, 1);
  assertEquals(listed.map(({ path }: Json) => path), [...files.keys()].slice(0, -1));
  for (const { path, sha256, bytes, op, count } of listed) {
    const content = files.get(path);
    assert(content !== undefined);
    assertEquals(createHash("sha256").update(content).digest("hex"), sha256, path);
    assertEquals(content.length, bytes);
    assertEquals(op ? pairsOf(op).length : decodeSafetensors(content).tensors.size, count);
  }
});

Deno.test("the same options give the same bytes, another seed other requests; operations can be chosen", async () => {
  const again = await makeVectors({ seed: 1, provenance });
  for (const [path, content] of files) assertEquals(again.get(path), content, path);
  const few = await makeVectors({ seed: 2, provenance, ops: ["unet", "q_step"] });
  assertEquals([...few.keys()], [
    "q_step.json",
    "unet.json",
    "tensors.safetensors",
    "manifest.json",
  ]);
  for (const path of ["q_step.json", "tensors.safetensors"]) {
    assert(!new Uint8Array(few.get(path) ?? []).every((b, i) => b === files.get(path)?.[i]), path);
  }
  // Without tensors to hold there is no file of them.
  const one = await makeVectors({ seed: 1, provenance, ops: ["q_step"] });
  assertEquals([...one.keys()], ["q_step.json", "manifest.json"]);
  assertEquals(one.get("q_step.json"), files.get("q_step.json"));
  await assertRejects(
    () => makeVectors({ seed: 1, provenance, ops: ["qstep"] }),
    ArgumentError,
  );
});

const stored = decodeSafetensors(files.get("tensors.safetensors") ?? new Uint8Array()).tensors;
function storedAt(name: string) {
  const found = stored.get(name);
  assert(found !== undefined, `no tensor ${name}`);
  return storedTensor(found);
}

Deno.test("tables in the file of tensors are those of the schedule's answers, rounded to float32", () => {
  const [{ request, response }] = pairsOf("schedule");
  assertEquals(request.schedule, { kind: "linear", T: 1000, betaStart: 1e-4, betaEnd: 0.02 });
  for (const name of ["beta", "alphaBar", "logBetaTildeClipped", "snr", "timesteps"]) {
    const table = response.result[name] as number[];
    assertEquals(storedAt(`schedule.ddpm.${name}`).data, Float32Array.from(table), name);
  }
});

Deno.test("the network's tensors are its answers, and its gradient predicts how the loss changes", () => {
  const [plain, single, withTarget] = pairsOf("unet");
  const outputOf = ({ response }: typeof plain) => response.result.output as { data: number[] };
  assertEquals(Float32Array.from(outputOf(plain).data), storedAt("output").data);
  assert(outputOf(single).data.join() !== outputOf(plain).data.join(), "the time has no effect");
  const loss = Number(withTarget.response.result.loss);

  /** The loss with x and every parameter moved by h times the gradient. */
  const lossAt = (h: number) => {
    const moved = new Map([...stored.keys()].map((name) => {
      const { shape, data } = storedAt(name);
      const gradient = stored.has(`grad.${name}`) ? storedAt(`grad.${name}`).data : null;
      return [name, { shape, data: data.map((v, i) => v + h * (gradient?.[i] ?? 0)) }];
    }));
    const host = { version: "0", readFile: () => encodeSafetensors(moved), writeFile: () => {} };
    const { ok, result } = JSON.parse(
      createOracle(host).answer(JSON.stringify(withTarget.request)),
    );
    assert(ok);
    return result.loss;
  };
  assertEquals(lossAt(0), loss);
  const gradients = [...stored.keys()].filter((name) => name.startsWith("grad."));
  const square = gradients.reduce(
    (sum, name) => storedAt(name).data.reduce((s, g) => s + g * g, sum),
    0,
  );
  // A step that changes the loss by a thousandth. Rounding in float32 moves the loss by less than
  // 100 u = 6e-6 of it, 0.6 % of that change, and curvature by the step's square, so 2 % is ample;
  // a forgotten factor, sign or sum instead of mean is off by a factor of at least 2.
  const h = loss / 2000 / square;
  const ratio = (lossAt(h) - lossAt(-h)) / (2 * h * square);
  assert(Math.abs(ratio - 1) < 0.02, `${ratio}`);
});
