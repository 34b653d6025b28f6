/** An object seen as its own enumerable properties. */
type Properties = Readonly<Record<PropertyKey, unknown>>;

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function sameKind(a: object, b: object): boolean {
  const plain = (x: object) => x.constructor === Object || !x.constructor;
  return a.constructor === b.constructor || (plain(a) && plain(b));
}

function isTypedArray(value: unknown): value is ArrayLike<number | bigint> {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

/** Whether every entry of `a` has a deeply equal entry of its own in `b`, in any order. */
function sameEntries(
  a: readonly unknown[],
  b: readonly unknown[],
  compare: (x: unknown, y: unknown) => boolean,
): boolean {
  const left = [...b];
  return a.length === b.length && a.every((x) => {
    const at = left.findIndex((y) => compare(x, y));
    if (at >= 0) left.splice(at, 1);
    return at >= 0;
  });
}

/**
 * Deep equality comparison used in assertions.
 *
 * @param c The actual value
 * @param d The expected value
 * @returns `true` if the values are deeply equal, `false` otherwise
 */
export function equal(c: unknown, d: unknown): boolean {
  const seen = new Map<object, object>();

  function compare(a: unknown, b: unknown): boolean {
    // Unlike Object.is, 0 equals -0.
    if (Object.is(a, b) || a === b) return true;
    if (!isObject(a) || !isObject(b) || !sameKind(a, b)) return false;
    if (a instanceof Date && b instanceof Date) return compare(a.getTime(), b.getTime());
    if (a instanceof RegExp || a instanceof URL) return String(a) === String(b);
    if (a instanceof WeakMap || a instanceof WeakSet) {
      throw new TypeError(`cannot compare ${a.constructor.name} instances`);
    }
    if (isTypedArray(a) && isTypedArray(b)) {
      if (a.length !== b.length) return false;
      for (let i = 0; i < a.length; i++) {
        if (a[i] !== b[i] && !(Number.isNaN(a[i]) && Number.isNaN(b[i]))) return false;
      }
      return true;
    }
    if (seen.get(a) === b) return true;
    seen.set(a, b);
    if (a instanceof Set && b instanceof Set) return sameEntries([...a], [...b], compare);
    if (a instanceof Map && b instanceof Map) return sameEntries([...a], [...b], compare);
    return sameProperties(a, b);
  }

  function sameProperties(a: object, b: object): boolean {
    if (Object.keys(a).length !== Object.keys(b).length) return false;
    const p: Properties = { ...a };
    const q: Properties = { ...b };
    // Error keeps its message and name outside the enumerable properties.
    if (a instanceof Error && b instanceof Error) {
      if (a.message !== b.message || a.name !== b.name) return false;
    }
    return [...new Set([...Reflect.ownKeys(p), ...Reflect.ownKeys(q)])]
      .every((key) => key in a && key in b && compare(p[key], q[key]));
  }

  return compare(c, d);
}
