/**
 * Headless Chromium, driven by nothing but a page that posts its result to the server that it came from.
 *
 * @module
 */

const FLAGS = [
  "--headless=new",
  // Containers run as root and have no namespaces to make a sandbox of; the page is our own.
  "--no-sandbox",
  // Containers have little shared memory.
  "--disable-dev-shm-usage",
  // SwiftShader on every machine: without it WebGPU stays off where Chromium trusts no driver.
  ...["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
  // Nothing but the page.
  ...["--no-first-run", "--disable-sync", "--disable-extensions", "--disable-default-apps"],
  ...["--disable-background-networking", "--disable-component-update"],
];

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html",
  js: "text/javascript",
  json: "application/json",
};

/**
 * Serves files by path from this machine, opens one of them and waits for what it posts.
 *
 * @returns the text of the first POST request.
 * @throws {Error} if the browser ends, or nothing was posted in time.
 */
export async function postedBy(
  browser: string,
  files: ReadonlyMap<string, string>,
  page: string,
  seconds: number,
): Promise<string> {
  const posted = Promise.withResolvers<string>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    if (request.method === "POST") {
      posted.resolve(await request.text());
      return new Response();
    }
    const { pathname } = new URL(request.url);
    const file = files.get(pathname);
    if (file === undefined) return new Response(null, { status: 404 });
    const type = TYPES[pathname.replace(/.*\./, "")];
    return new Response(file, { headers: { "content-type": type } });
  });
  const profile = await Deno.makeTempDir();
  const process = new Deno.Command(browser, {
    args: [...FLAGS, `--user-data-dir=${profile}`, `http://127.0.0.1:${server.addr.port}${page}`],
    clearEnv: true,
    env: environment(profile),
    stdout: "null",
    stderr: "null",
  }).spawn();
  const ended = process.status.then(({ code }) =>
    posted.reject(new Error(`Expected ${browser} to stay but it ended with code ${code}`))
  );
  const timer = setTimeout(
    () => posted.reject(new Error(`Expected a result within ${seconds} s but got none`)),
    1000 * seconds,
  );
  try {
    return await posted.promise;
  } finally {
    clearTimeout(timer);
    await end(process);
    await ended;
    await server.shutdown();
    await removed(profile);
  }
}

/** Ours, without what turns the Vulkan loader, by way of which SwiftShader is found, to other drivers or to none. */
function environment(profile: string): Record<string, string> {
  const { VK_DRIVER_FILES: _, VK_ICD_FILENAMES: __, ...others } = Deno.env.toObject();
  return { ...others, TMPDIR: profile };
}

/** Removes a folder into which a browser's children, who outlive it for a moment, may still write. */
async function removed(folder: string): Promise<void> {
  for (let attempt = 1;; attempt++) {
    try {
      return await Deno.remove(folder, { recursive: true });
    } catch (error) {
      if (attempt === 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** Ends a process: with its children if it does what it is told, and in any case. */
async function end(process: Deno.ChildProcess): Promise<void> {
  const timer = setTimeout(() => process.kill("SIGKILL"), 5000);
  try {
    process.kill("SIGTERM");
  } catch (error) {
    // It has ended already.
    if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
  }
  await process.status;
  clearTimeout(timer);
}
