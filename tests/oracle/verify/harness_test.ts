/** The harness on candidates inside the same program: the reference with and without a mistake. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  BrokenError,
  type Candidate,
  candidateOf,
  type CandidateOp,
  failureText,
  junitOf,
  replay,
  UnsupportedError,
  verify,
} from "../../../src/oracle/verify/mod.ts";
import { ask, oracleInMemory } from "../../support/oracle_session.ts";

type Json = Readonly<Record<string, unknown>>;

const { oracle } = oracleInMemory();

/** The reference's result, as it goes over the pipe. */
function truth(request: Json): Json {
  const { ok, result, error } = ask(oracle, request);
  if (!ok || result === undefined) throw new Error(error?.message);
  return result;
}

/** The reference with some operations replaced. */
function reference(ops: readonly string[], changes: Readonly<Record<string, CandidateOp>> = {}) {
  return candidateOf("the reference", {
    ...Object.fromEntries(ops.map((op): [string, CandidateOp] => [op, truth])),
    ...changes,
  });
}

const OPS = ["schedule", "q_sample", "ddpm_step", "loss_simple"];

Deno.test("the reference conforms exactly, and what it does not list is not covered", async () => {
  const report = await verify(reference(OPS), { runs: 30 });
  assertEquals(report.verdict, "conforms");
  for (const { op, verdict, requests, worst, notCovered } of report.ops) {
    assertEquals(verdict, OPS.includes(op) ? "conforms" : "not covered", op);
    assertEquals(requests >= 30, OPS.includes(op), op);
    assertEquals(worst, 0);
    assertEquals(notCovered.length, OPS.includes(op) ? 0 : 1);
  }
});

Deno.test("a function may answer with typed arrays", async () => {
  const typed: CandidateOp = (request) => {
    const { grads, norm } = truth(request) as
      & { grads: { shape: number[]; data: number[] }[] }
      & Json;
    return {
      norm,
      grads: grads.map(({ shape, data }) => ({ shape, data: Float32Array.from(data) })),
    };
  };
  const doubles: CandidateOp = (request) => ({
    values: Float64Array.from(truth(request).values as number[]),
  });
  const candidate = reference([], { clip_grad_norm: typed, normal: doubles });
  const { ops } = await verify(candidate, { ops: ["clip_grad_norm", "normal"], runs: 5 });
  assertEquals(ops.map(({ verdict, worst }) => [verdict, worst]), [["conforms", 0], [
    "conforms",
    0,
  ]]);
});

Deno.test("the same seed draws the same requests, another one others", async () => {
  const asked = async (seed: number) => {
    const lines: string[] = [];
    const note: CandidateOp = (request) => {
      lines.push(JSON.stringify(request));
      return truth(request);
    };
    await verify(reference([], { q_step: note }), { runs: 20, seed });
    return lines;
  };
  const first = await asked(1);
  assertEquals(await asked(1), first);
  assert((await asked(2)).join() !== first.join());
});

/** x one β too noisy: a mistake in one operation. */
const wrongSample: CandidateOp = (request) => {
  const x0 = request.x0 as { data: number[]; shape: number[] };
  const halved = { ...x0, data: x0.data.map((v) => v / 2) };
  return truth({ ...request, x0: halved });
};

Deno.test("a mistake is found, shrunk to one element, and its request replays", async () => {
  const candidate = reference(OPS, { q_sample: wrongSample });
  const report = await verify(candidate, { runs: 30 });
  assertEquals(report.verdict, "deviates");
  assertEquals(
    report.ops.filter(({ verdict }) => verdict === "deviates").map(({ op }) => op),
    ["q_sample"],
  );
  const failure = report.ops.find(({ op }) => op === "q_sample")?.failure;
  assert(failure);
  const { x0 } = failure.request as { x0: { shape: number[]; data: number[] } };
  assertEquals(x0.shape, [1, 1, 1, 1]);
  assertEquals(failure.field, "x");
  assert(Math.abs(Number(failure.got) - Number(failure.expected)) > Number(failure.bound));
  const request = { ...failure.request, op: "q_sample" };
  assertEquals((await replay(candidate, request)).verdict, "deviates");
  assertEquals((await replay(reference(OPS), request)).verdict, "conforms");
});

Deno.test("one wrong element is cut out of its batch", async () => {
  const rare: CandidateOp = (request) => {
    const { data } = request.x0 as { data: number[] };
    const { x } = truth(request) as { x: { shape: number[]; data: number[] } };
    return { x: { ...x, data: x.data.map((v, i) => Math.abs(data[i]) > 3.95 ? 2 * v + 1 : v) } };
  };
  for (const seed of [1, 2, 3, 4, 5]) {
    const { ops } = await verify(reference(OPS, { q_sample: rare }), { ops: ["q_sample"], seed });
    const { x0, t } = ops[0].failure?.request as { x0: { shape: number[] }; t: unknown };
    assertEquals(x0.shape, [1, 1, 1, 1]);
    assertEquals(typeof t, "number");
  }
});

Deno.test("an error that no known mistake makes has no cause", async () => {
  const slightly: CandidateOp = (request) => {
    const { x } = truth(request) as { x: { data: number[] } };
    return { x: { ...x, data: x.data.map((v) => v * (1 + 2e-6)) } };
  };
  const { ops } = await verify(reference(OPS, { q_sample: slightly }), { ops: ["q_sample"] });
  assertEquals([ops[0].verdict, ops[0].failure?.cause], ["deviates", null]);
});

Deno.test("a known mistake is named", async () => {
  const cases: [op: string, answer: CandidateOp, cause: string][] = [
    ["ddpm_step", (r) => truth({ ...r, clip: null }), "not clipped"],
    ["q_posterior", (r) => {
      const result = truth(r);
      return { ...result, variance: (result.variance as number[]).map(Math.sqrt) };
    }, "standard deviation where variance"],
    ["normal_kl", (r) => {
      const kl = truth(r).kl as { data: number[] };
      return { kl: { ...kl, data: kl.data.map((v) => 2 * v) } };
    }, "½ is missing"],
    ["ddim_step", (r) => truth({ ...r, rederiveEpsilon: false }), "not re-derived"],
  ];
  for (const [op, answer, cause] of cases) {
    const report = await verify(reference(["schedule"], { [op]: answer }), { ops: [op] });
    assertStringIncludes(report.ops[0].failure?.cause ?? "none", cause, op);
  }
});

Deno.test("an option answered unsupported is listed and the others are judged", async () => {
  const candidate = reference(["schedule"], {
    ddpm_step: (request) => {
      if (request.variance === "learned") throw new UnsupportedError("no variance learned");
      return truth(request);
    },
    q_sample: () => {
      throw new UnsupportedError("nothing at all");
    },
  });
  const { ops } = await verify(candidate, { ops: ["ddpm_step", "q_sample"], runs: 40 });
  const [sample, step] = ops;
  assertEquals([sample.verdict, step.verdict], ["not covered", "conforms"]);
  assertEquals(sample.requests, 0);
  assertEquals(step.notCovered.length, 4);
  assertStringIncludes(step.notCovered[0], "variance learned");
});

Deno.test("refusals, NaN and results of another form are told apart", async () => {
  const verdictOf = async (answer: CandidateOp) => {
    const { ops } = await verify(reference([], { q_sample: answer }), { ops: ["q_sample"] });
    return [ops[0].verdict, ops[0].failure?.message ?? ""];
  };
  const tensor = (request: Json, data: (size: number) => unknown[]) => {
    const { shape, data: values } = request.x0 as { shape: number[]; data: number[] };
    return { x: { shape, data: data(values.length) } };
  };
  const [refused, why] = await verdictOf(() => {
    throw new Error("not today");
  });
  assertEquals(refused, "deviates");
  assertStringIncludes(why, "refuses");
  const [nan, whatNan] = await verdictOf((r) => tensor(r, (n) => new Array(n).fill("NaN")));
  assertEquals(nan, "deviates");
  assertStringIncludes(whatNan, "NaN");
  const broken: CandidateOp[] = [
    () => ({}),
    () => null,
    () => ({ x: "nothing" }),
    () => ({ x: { data: [0] } }),
    () => ({ x: { shape: [1], data: 0 } }),
    (r) => tensor(r, (n) => new Array(n).fill(null)),
    (r) => tensor(r, (n) => new Array(n + 1).fill("0")),
  ];
  for (const answer of broken) assertEquals((await verdictOf(answer))[0], "broke");
  const formed: [answer: CandidateOp, says: string][] = [
    [() => ({ x: 3 }), "a number"],
    [() => ({ x: [1, 2] }), "2 values"],
    [() => ({ x: [[[[0]]]] }), "a nested list"],
    [() => ({ x: { shape: [1], data: [0] } }), "shape [1] of 1 values"],
    [(r) => tensor(r, (n) => new Array(n + 1).fill(0)), "values but got shape"],
    [(r) => {
      const { x } = tensor(r, (n) => new Array(n).fill(0));
      return { x: { ...x, shape: [...x.shape, 1] } };
    }, ",1] of"],
  ];
  for (const [answer, says] of formed) {
    const [verdict, message] = await verdictOf(answer);
    assertEquals(verdict, "deviates", says);
    assertStringIncludes(message, says);
  }
});

Deno.test("a list of another length deviates, is shrunk and explained", async () => {
  // What range(0, T, T // steps) gives: too many times where steps does not divide T.
  const overrun: CandidateOp = ({ T, steps, spacing, ...rest }) => {
    if (spacing !== "leading") return truth({ ...rest, T, steps, spacing });
    const stride = Math.floor(Number(T) / Number(steps)), timesteps: number[] = [];
    for (let t = 1; t <= Number(T); t += stride) timesteps.unshift(t);
    return { timesteps };
  };
  const { ops } = await verify(reference([], { timesteps: overrun }), { ops: ["timesteps"] });
  const { failure, verdict } = ops[0];
  assert(failure);
  assertEquals([verdict, failure.field], ["deviates", null]);
  // The smallest T that two steps do not divide.
  assertEquals([failure.request.T, failure.request.steps], [3, 2]);
  assertEquals(failure.form, { field: "timesteps", expected: "2 values", got: "3 values" });
  assertStringIncludes(failure.cause ?? "", "range");
  assertStringIncludes(failureText("timesteps", failure, null), "got       3 values");
});

Deno.test("a candidate that broke is started again for the next operation", async () => {
  let starts = 0;
  const start = (): Promise<Candidate> => {
    starts++;
    let dead = false;
    const { ops, name } = reference(["q_step", "q_sample"]);
    return Promise.resolve({
      name,
      ops,
      ask: (request) => {
        if (dead || request.op === "q_step") {
          dead = true;
          throw new BrokenError("gone");
        }
        return Promise.resolve({ ok: true, result: truth(request) });
      },
    });
  };
  const { ops, verdict } = await verify(start, { ops: ["q_step", "q_sample"], runs: 10 });
  assertEquals(ops.map((op) => op.verdict), ["broke", "conforms"]);
  assertEquals(verdict, "broke");
  assertEquals(starts, 2);
  const once = await verify(await start(), { ops: ["q_step", "q_sample"], runs: 10 });
  assertEquals(once.ops.map((op) => op.verdict), ["broke", "not covered"]);
});

/** float32 tables as a cumulative product, and q_sample from them. */
const f = Math.fround;
function float32Tables(schedule: Json): number[] {
  const { beta } = truth({ op: "schedule", schedule: { ...schedule, keep: undefined } });
  let product = 1;
  const all = (beta as number[]).map((b) => product = f(product * f(1 - f(b))));
  return Array.isArray(schedule.keep) ? schedule.keep.map((t) => all[t - 1]) : all;
}
function float32Candidate(drift: number): Candidate {
  return candidateOf("float32", {
    schedule: (request) => {
      const result = truth(request), alphaBar = float32Tables(request.schedule as Json);
      return {
        ...result,
        alphaBar,
        sqrtOneMinusAlphaBar: alphaBar.map((a) => f(Math.sqrt(f(1 - a)))),
        sqrtAlphaBar: alphaBar.map((a) => f(Math.sqrt(a))),
        snr: alphaBar.map((a) => f(a / f(1 - a))),
      };
    },
    q_sample: (request) => {
      const { timesteps } = truth({ op: "schedule", schedule: request.schedule });
      const tables = float32Tables(request.schedule as Json);
      const x0 = request.x0 as { shape: number[]; data: number[] };
      const noise = request.noise as { data: number[] };
      const t = request.t as number | number[], D = x0.data.length / x0.shape[0];
      const data = x0.data.map((x, i) => {
        const time = typeof t === "number" ? t : t[Math.floor(i / D)];
        const alphaBar = tables[(timesteps as number[]).indexOf(time)];
        const signal = f(Math.sqrt(alphaBar)), sigma = f(Math.sqrt(f(1 - alphaBar)) * drift);
        return f(f(signal * x) + f(sigma * noise.data[i]));
      });
      return { x: { shape: x0.shape, data } };
    },
  });
}

Deno.test("float32 tables are noted and steps judged with them; a real fault beside them is found", async () => {
  const fair = await verify(float32Candidate(1), { ops: ["schedule", "q_sample"], runs: 150 });
  assertEquals(fair.ops.map(({ verdict }) => verdict), ["conforms", "conforms"]);
  assertEquals(fair.notes.length, 1);
  const faulty = await verify(float32Candidate(1.0001), { ops: ["schedule", "q_sample"] });
  assertEquals(faulty.ops.map(({ verdict }) => verdict), ["conforms", "deviates"]);
  const tables = await verify(float32Candidate(1), { ops: ["schedule"], runs: 20 });
  assertEquals(tables.notes.length, 1);
  const strict = await verify(reference(OPS), { ops: ["schedule"], runs: 20 });
  assertEquals(strict.notes, []);
});

Deno.test("in double, float32 tables deviate", async () => {
  const { ops } = await verify(float32Candidate(1), { ops: ["schedule"], precision: "f64" });
  assertEquals(ops[0].verdict, "deviates");
});

Deno.test("JUnit holds one case per operation, failures escaped", async () => {
  const report = await verify(reference(OPS, { q_sample: wrongSample }), { runs: 10 });
  const xml = junitOf({ ...report, candidate: `a "<b>" & c` });
  assertEquals(xml.match(/<testcase /g)?.length, report.ops.length);
  assertEquals(xml.match(/<failure /g)?.length, 1);
  assertStringIncludes(xml, 'failures="1" errors="0"');
  assert(!xml.includes('"<b>"'));
});

Deno.test("an operation that the protocol does not have is refused", async () => {
  await assertRejects(() => verify(reference(OPS), { ops: ["sample"] }), Error, "sample");
});
