/**
 * A text with everything that is not seen, line breaks included, as an escape such as `\u001b`: what
 * stands in a file, or what a caller gave, must not break a message in two or steer a terminal.
 */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (c) => `\\u${(c.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
}
