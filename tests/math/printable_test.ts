import { assertEquals } from "@std/assert";
import { ArgumentError } from "../../src/math/errors.ts";
import { printable } from "../../src/math/printable.ts";
import { FormatError } from "../../src/spec/format_error.ts";

Deno.test("what is not seen becomes an escape, and all else stays", () => {
  assertEquals(printable("α̅ ≤ 1, “naïve” 🎲"), "α̅ ≤ 1, “naïve” 🎲");
  // A line break, a terminal's escape, DEL, C1's CSI, a right-to-left override, a line separator.
  assertEquals(
    printable("a\nb\x1b[2J\x7f\x9b\u202e\u2028"),
    "a\\u000ab\\u001b[2J\\u007f\\u009b\\u202e\\u2028",
  );
});

Deno.test("the errors for files and arguments have one line, whatever they quote", () => {
  assertEquals(
    new ArgumentError("Expected a but got b\nc").message,
    "Expected a but got b\\u000ac",
  );
  assertEquals(
    new FormatError("Expected a but got b\r\x1b").message,
    "Expected a but got b\\u000d\\u001b",
  );
});
