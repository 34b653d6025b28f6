import { assertEquals } from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";

Deno.test("parseArgs reads flags as the real package does", () => {
  assertEquals(parseArgs(["--foo", "--bar=baz", "./quux.txt"]), {
    foo: true,
    bar: "baz",
    _: ["./quux.txt"],
  });
  assertEquals(parseArgs(["--n", "5", "--s=5", "6"], { string: "s" }), { n: 5, s: "5", _: [6] });
  assertEquals(parseArgs(["--n=-1", "--s", "-x"], { string: ["s"] }), {
    n: -1,
    s: "",
    x: true,
    _: [],
  });
  assertEquals(parseArgs(["--a=b=c", "--e="], { string: ["a", "e"] }), { a: "b=c", e: "", _: [] });
});

Deno.test("parseArgs treats booleans, negation and aliases as the real package does", () => {
  assertEquals(parseArgs(["--b", "x"], { boolean: ["b", "c"] }), { b: true, c: false, _: ["x"] });
  assertEquals(parseArgs(["--b", "false"], { boolean: "b" }), { b: false, _: [] });
  assertEquals(
    parseArgs(["--no-b", "--no-c"], { boolean: ["b", "c"], negatable: "b", default: { b: true } }),
    { b: false, "no-c": true, c: false, _: [] },
  );
  assertEquals(parseArgs(["-h"], { boolean: "help", alias: { help: "h" } }), {
    h: true,
    help: true,
    _: [],
  });
  assertEquals(parseArgs(["-o", "f"], { string: "out", alias: { out: ["o"] } }), {
    o: "f",
    out: "f",
    _: [],
  });
});

Deno.test("parseArgs collects, stops early and keeps what follows --", () => {
  assertEquals(parseArgs(["--f", "1", "--f", "2"], { string: "f", collect: "f" }), {
    f: ["1", "2"],
    _: [],
  });
  assertEquals(parseArgs([], { string: "f", collect: "f" }), { f: [], _: [] });
  assertEquals(parseArgs(["--f", "1", "--f", "2"]), { f: 2, _: [] });
  assertEquals(parseArgs(["a", "--b"], { stopEarly: true }), { _: ["a", "--b"] });
  assertEquals(parseArgs(["a", "--", "--b"]), { _: ["a", "--b"] });
  assertEquals(parseArgs(["a", "--", "--b"], { "--": true }), { _: ["a"], "--": ["--b"] });
});

Deno.test("parseArgs hands every argument that it does not know to `unknown`", () => {
  const seen: unknown[] = [];
  const args = parseArgs(["--known", "1", "--other=2", "-z", "file"], {
    string: "known",
    unknown: (...about) => {
      seen.push(about);
      return false;
    },
  });
  assertEquals(args, { known: "1", _: [] });
  // A flag takes the argument after it for its value, known or not.
  assertEquals(seen, [["--other=2", "other", "2"], ["-z", "z", "file"]]);
});
