import { isObject } from "../../fields.ts";
import type { Request } from "../draw/parts.ts";

type Values = Readonly<Record<string, unknown>>;

/** The protocol's defaults of operations' options in which mistakes are known. */
const OPTIONS: Readonly<Record<string, Values>> = {
  ddim_step: { rederiveEpsilon: true, finalAlphaBar: 1 },
  ddim_encode_step: { rederiveEpsilon: true },
};

/** The same of clippings and schedules, by kind. */
const KINDS: Readonly<Record<string, Values>> = {
  static: { range: 1 },
  dynamic: { quantile: 0.995, max: 1 },
  cosine: { s: 0.008, maxBeta: 0.999 },
};

function filled(defaults: Values | undefined, given: Values): Values {
  const there = Object.entries(given).filter(([, value]) => value !== undefined && value !== null);
  return { ...given, ...defaults, ...Object.fromEntries(there) };
}

/** A request whose absent options are written out, so that mistakes in them are found there too. */
export function writtenOut(request: Request): Request {
  const inner = ["clip", "schedule"].flatMap((name) => {
    const value = request[name];
    return isObject(value) ? [[name, filled(KINDS[String(value.kind)], value)]] : [];
  });
  return { ...filled(OPTIONS[request.op], request), ...Object.fromEntries(inner), op: request.op };
}
