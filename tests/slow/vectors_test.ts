import { assertEquals } from "@std/assert";
import { checkVectors, makeVectors } from "../../src/oracle/vectors/mod.ts";
import { DEFAULT_SEED } from "../../src/oracle/verify/mod.ts";

const encoder = new TextEncoder(), decoder = new TextDecoder();
const files = new Map(
  await makeVectors({ seed: DEFAULT_SEED, provenance: { version: "0", runtime: "this one" } }),
);

/** What right.py writes, given its flags and an input. */
async function candidate(args: string[], input = ""): Promise<Uint8Array<ArrayBuffer>> {
  const child = new Deno.Command("python3", {
    args: ["right.py", ...args],
    cwd: new URL("../candidates", import.meta.url),
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  // One that prints a list and ends does not read.
  const fed = writer.write(encoder.encode(input)).then(() => writer.close()).catch(() => {});
  const { stdout } = await child.output();
  await fed;
  return stdout;
}

/** The verdict on the answers to one operation's requests of a candidate with these flags. */
async function verdictOf(op: string, args: string[]): Promise<string | undefined> {
  const { pairs } = JSON.parse(decoder.decode(files.get(`${op}.json`)));
  const lines = pairs.map(({ request }: { request: unknown }) => JSON.stringify(request));
  const answers = await candidate(args, `${lines.join("\n")}\n`);
  const read = (path: string) =>
    Promise.resolve(path === `answers/${op}.jsonl` ? answers : files.get(path) ?? null);
  const { report } = await checkVectors(read, { answers: true });
  return report.ops.find((judged) => judged.op === op)?.verdict;
}

Deno.test("the default vectors find every mistake that right.py plants, and none in right.py", async () => {
  const faults: Record<string, string> = JSON.parse(
    decoder.decode(await candidate(["--list-faults"])),
  );
  // One network shows few of the mistakes that there are in networks.
  const inOps = Object.entries(faults).filter(([, op]) => op !== "unet");
  for (const op of new Set(inOps.map(([, op]) => op))) {
    assertEquals(await verdictOf(op, []), "conforms", op);
  }
  const missed: string[] = [];
  for (const [name, op] of inOps) {
    if (await verdictOf(op, ["--fault", name]) !== "deviates") missed.push(name);
  }
  assertEquals(missed, []);
});
