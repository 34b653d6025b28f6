import { assertEquals, assertRejects } from "@std/assert";
import { writeAtomic } from "../../src/data/write_atomic.ts";

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const names = (folder: string) => [...Deno.readDirSync(folder)].map((entry) => entry.name);

Deno.test("an atomic write leaves the whole new content and nothing beside it", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/a.bin`;
    await writeAtomic(path, new Uint8Array(100_000).fill(1));
    await writeAtomic(path, "short");
    assertEquals(await Deno.readTextFile(path), "short");
    assertEquals(names(folder), ["a.bin"]);
  });
});

Deno.test("an atomic write that fails keeps the old content and clears up", async () => {
  await inFolder(async (folder) => {
    // A folder of that name cannot be replaced by a file.
    await Deno.mkdir(`${folder}/a/kept`, { recursive: true });
    await assertRejects(() => writeAtomic(`${folder}/a`, "x"));
    assertEquals(names(folder), ["a"]);
    assertEquals(names(`${folder}/a`), ["kept"]);
  });
});
