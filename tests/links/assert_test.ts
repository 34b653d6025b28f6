import * as std from "@std/assert";

/** Whether a call throws an AssertionError: the one thing that cannot be tested with the stand-in itself. */
function fails(call: () => void): boolean {
  try {
    call();
    return false;
  } catch (error) {
    return error instanceof std.AssertionError;
  }
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

Deno.test("equal compares deeply, as the real package does", () => {
  const equal: [unknown, unknown][] = [
    [1, 1],
    [NaN, NaN],
    [0, -0],
    [{ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }],
    [Object.create(null), {}],
    [new Float32Array([1, NaN]), new Float32Array([1, NaN])],
    [new Map([["a", { x: 1 }], ["b", { x: 2 }]]), new Map([["b", { x: 2 }], ["a", { x: 1 }]])],
    [new Set([{ x: 1 }, { x: 2 }]), new Set([{ x: 2 }, { x: 1 }])],
    [new Date(5), new Date(5)],
    [/a/g, /a/g],
  ];
  for (const [a, b] of equal) {
    check(std.equal(a, b), `${Deno.inspect(a)} should equal ${Deno.inspect(b)}`);
    std.assertEquals(a, b);
    check(fails(() => std.assertNotEquals(a, b)), "assertNotEquals should fail");
  }
  const different: [unknown, unknown][] = [
    [1, "1"],
    [1, 2],
    [{ a: 1 }, { a: 1, b: undefined }],
    [{ a: undefined }, { b: undefined }],
    [[1, 2], [2, 1]],
    [[], {}],
    [new Float32Array([1, 2]), new Float32Array([1, 3])],
    [new Float32Array([1, 2]), new Float32Array([1, 2, 0])],
    [new Float32Array([1]), new Float64Array([1])],
    [new Map([["a", 1]]), new Map([["a", 2]])],
    [new Map([["a", undefined]]), new Map([["b", undefined]])],
    [new Set([1, 2]), new Set([1, 3])],
    [new Set([{ x: 1 }, { x: 1 }]), new Set([{ x: 1 }, { x: 2 }])],
    [new Date(5), new Date(6)],
    [/a/g, /a/i],
    [null, undefined],
    [null, {}],
    [new Error("a"), new Error("b")],
  ];
  for (const [a, b] of different) {
    check(!std.equal(a, b), `${Deno.inspect(a)} should not equal ${Deno.inspect(b)}`);
    check(fails(() => std.assertEquals(a, b)), "assertEquals should fail");
    std.assertNotEquals(a, b);
  }
});

Deno.test("equal ends on values that contain themselves", () => {
  const a: unknown[] = [1];
  const b: unknown[] = [1];
  a.push(a);
  b.push(b);
  check(std.equal(a, b), "two knots of one shape should be equal");
});

Deno.test("assertAlmostEquals allows 1e-7 of the expected value unless told otherwise", () => {
  std.assertAlmostEquals(1 + 0.9e-7, 1);
  std.assertAlmostEquals(0.01, 0.02, 0.1);
  std.assertAlmostEquals(Infinity, Infinity);
  std.assertAlmostEquals(NaN, NaN);
  check(fails(() => std.assertAlmostEquals(1 + 1.1e-7, 1)), "1.1e-7 away should fail");
  check(fails(() => std.assertAlmostEquals(1e-9, 0)), "nothing but 0 is near 0 by default");
  check(fails(() => std.assertAlmostEquals(NaN, 1, 1)), "NaN should fail");
});

Deno.test("comparisons, strings and classes fail exactly when they should", () => {
  std.assert(1);
  std.assertGreater(2, 1);
  std.assertGreaterOrEqual(1, 1);
  std.assertLess(1, 2);
  std.assertLessOrEqual(1, 1);
  std.assertExists(0);
  std.assertStringIncludes("abc", "b");
  std.assertMatch("abc", /b/);
  std.assertNotMatch("abc", /d/);
  std.assertInstanceOf(new RangeError(), Error);
  std.assertStrictEquals(1, 1);
  const failing: (() => void)[] = [
    () => std.assert(0),
    () => std.fail("x"),
    () => std.assertGreater(1, 1),
    () => std.assertGreater(NaN, 1),
    () => std.assertGreaterOrEqual(0, 1),
    () => std.assertLess(1, 1),
    () => std.assertLess(NaN, 1),
    () => std.assertLessOrEqual(2, 1),
    () => std.assertExists(null),
    () => std.assertStringIncludes("abc", "d"),
    () => std.assertMatch("abc", /d/),
    () => std.assertNotMatch("abc", /b/),
    () => std.assertInstanceOf(new Error(), RangeError),
    () => std.assertStrictEquals<unknown>({}, {}),
  ];
  failing.forEach((call) => check(fails(call), `${call} should fail`));
});

Deno.test("assertThrows and assertRejects check class and message, and return the error", async () => {
  const raise = () => {
    throw new RangeError("Expected 1 but got 2");
  };
  const error = std.assertThrows(raise, RangeError, "but got 2");
  check(error instanceof RangeError, "the error should come back");
  check(fails(() => std.assertThrows(() => 1)), "no throw should fail");
  check(fails(() => std.assertThrows(raise, TypeError)), "another class should fail");
  check(fails(() => std.assertThrows(raise, RangeError, "got 3")), "another text should fail");

  const failsLater = async (call: () => Promise<unknown>) => {
    try {
      await call();
      return false;
    } catch (error) {
      return error instanceof std.AssertionError;
    }
  };
  const reject = () => Promise.reject(new RangeError("Expected 1 but got 2"));
  await std.assertRejects(reject, RangeError, "but got 2");
  check(await failsLater(() => std.assertRejects(() => Promise.resolve(1))), "no rejection");
  check(await failsLater(() => std.assertRejects(reject, TypeError)), "another class");
  check(await failsLater(() => std.assertRejects(reject, RangeError, "got 3")), "another text");
  check(
    await failsLater(() =>
      std.assertRejects(() => {
        throw new RangeError("not a promise");
      })
    ),
    "a throw is not a rejection",
  );
});
