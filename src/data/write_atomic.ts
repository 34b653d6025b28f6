/**
 * Writes a file so that a reader, or a run that is resumed after a crash, sees either the old content
 * or all of the new: to a temporary name beside it, flushed to disk, then renamed over it.
 *
 * @throws {Error} if the file system refuses; the temporary file is removed and the old one kept.
 */
export async function writeAtomic(path: string, content: Uint8Array | string): Promise<void> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const temporary = `${path}.partial`;
  try {
    const file = await Deno.open(temporary, { write: true, create: true, truncate: true });
    try {
      for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
      await file.syncData();
    } finally {
      file.close();
    }
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}
