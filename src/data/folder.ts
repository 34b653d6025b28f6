import { FormatError } from "../spec/format_error.ts";

/** What lies in a folder, by name in the order of code units; hidden names are left out. */
export interface FolderListing {
  /** Names of files. */
  readonly files: readonly string[];
  /** Names of folders. */
  readonly folders: readonly string[];
}

/**
 * Lists a folder; links count as what they lead to, and not at all where that is missing.
 *
 * @throws {FormatError} if there is no such folder.
 */
export async function listFolder(folder: string): Promise<FolderListing> {
  const files: string[] = [], folders: string[] = [];
  try {
    for await (const entry of Deno.readDir(folder)) {
      if (entry.name.startsWith(".")) continue;
      const path = `${folder}/${entry.name}`;
      const kind = entry.isSymlink ? await Deno.stat(path).catch(() => null) : entry;
      if (kind?.isFile) files.push(entry.name);
      if (kind?.isDirectory) folders.push(entry.name);
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new FormatError(`Expected a folder of images in ${folder} but there is none`);
    }
    if (error instanceof Deno.errors.NotADirectory) {
      throw new FormatError(`Expected a folder of images in ${folder} but it is a file`);
    }
    throw error;
  }
  return { files: files.sort(), folders: folders.sort() };
}
