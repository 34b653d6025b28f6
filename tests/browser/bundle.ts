/**
 * The library as browsers load it: ES modules made by esbuild, for no platform but the web's.
 *
 * @module
 */
import * as esbuild from "esbuild";

const root = new URL("../..", import.meta.url);

/**
 * Bundles entry points, given from the project's root, together: what they share is one module.
 *
 * @returns the modules' texts by path; that of `src/a.ts` is at `/src/a.js`.
 * @throws {Error} if an import cannot be bundled, as of a Node builtin.
 */
export async function bundle(...entryPoints: readonly string[]): Promise<Map<string, string>> {
  try {
    const { outputFiles } = await esbuild.build({
      absWorkingDir: root.pathname,
      entryPoints: [...entryPoints],
      outbase: ".",
      outdir: "/",
      bundle: true,
      splitting: true,
      write: false,
      format: "esm",
      platform: "browser",
      target: "es2022",
      logLevel: "silent",
    });
    return new Map(outputFiles.map(({ path, text }) => [path, text]));
  } finally {
    await esbuild.stop();
  }
}
