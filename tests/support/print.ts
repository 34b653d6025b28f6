/** Prints a line of a test's figures. */
export function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`  ${line}\n`));
}
