/**
 * The text of a request's `id`, found without parsing the rest: an id is echoed as it was written,
 * so that an integer beyond 2^53 comes back unchanged, and it is known even if the line was cut off.
 *
 * @module
 */

const SPACES = " \t\r\n";
const ENDS_SCALAR = `${SPACES},{}[]"`;

/** Where the characters of `set` that start at `from` end. */
function skip(text: string, from: number, set: string): number {
  let i = from;
  while (i < text.length && set.includes(text[i])) i++;
  return i;
}

/** Where the string whose quote is at `from` ends, or −1 if the text ends first. */
function endOfString(text: string, from: number): number {
  for (let i = from + 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === '"') return i + 1;
  }
  return -1;
}

function endOfScalar(text: string, from: number): number {
  let i = from;
  while (i < text.length && !ENDS_SCALAR.includes(text[i])) i++;
  return i < text.length ? i : -1;
}

/** Where the object or array that starts at `from` ends, or −1 if the text ends first. */
function endOfNested(text: string, from: number): number {
  let depth = 0;
  for (let i = from; i < text.length; i++) {
    const c = text[i];
    if (c === '"') {
      const end = endOfString(text, i);
      if (end < 0) return -1;
      i = end - 1;
    } else if (c === "{" || c === "[") depth++;
    else if ((c === "}" || c === "]") && --depth === 0) return i + 1;
  }
  return -1;
}

function endOfValue(text: string, from: number): number {
  switch (text[from]) {
    case '"':
      return endOfString(text, from);
    case "{":
    case "[":
      return endOfNested(text, from);
    default:
      return endOfScalar(text, from);
  }
}

/** Whether a slice is JSON; in a cut-off line nothing else has checked it. */
function parses(json: string): boolean {
  try {
    JSON.parse(json);
    return true;
  } catch {
    return false;
  }
}

/**
 * The JSON text of the member `id` of the object that `line` begins with, or null if none is found
 * before the text ends. Of several the last counts, as in `JSON.parse`.
 */
export function rawId(line: string): string | null {
  let id: string | null = null;
  let i = skip(line, 0, SPACES);
  if (line[i] !== "{") return null;
  do {
    const key = skip(line, i + 1, SPACES);
    const keyEnd = line[key] === '"' ? endOfString(line, key) : -1;
    if (keyEnd < 0) break;
    const colon = skip(line, keyEnd, SPACES);
    const start = skip(line, colon + 1, SPACES);
    const end = line[colon] === ":" ? endOfValue(line, start) : -1;
    if (end < 0) break;
    const keyJson = line.slice(key, keyEnd), valueJson = line.slice(start, end);
    if (parses(keyJson) && JSON.parse(keyJson) === "id" && parses(valueJson)) id = valueJson;
    i = skip(line, end, SPACES);
  } while (line[i] === ",");
  // Between tokens a line may hold tabs and carriage returns, which some readers split lines at.
  return id?.replace(/[\r\n\t]/g, " ") ?? null;
}
