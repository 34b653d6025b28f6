/**
 * What an implementation may compute and stay right: the arithmetic of its coefficients and of its
 * tensors. Every operation's bound is its formula evaluated in these (docs/verify.md, "Bounds").
 *
 * @module
 */
import type { Tensor } from "../../math/tensor.ts";
import { samplesOf } from "../../reference/step.ts";
import { type Fields, numberOrNumbersField } from "../fields.ts";
import { type Approx, exact, Rounding } from "./rounding.ts";
import type { ApproxSchedule } from "./tables.ts";

/** The number formats that an implementation may compute in. */
export type Precision = "f16" | "f32" | "f64";

/** Unit roundoffs. */
export const UNIT: Readonly<Record<Precision, number>> = {
  f16: 2 ** -11,
  f32: 2 ** -24,
  f64: 2 ** -53,
};
/** Where each format's results may be flushed to zero. */
const SMALLEST: Readonly<Record<Precision, number>> = { f16: 2 ** -14, f32: 2 ** -126, f64: 0 };

/** How coefficients come about: in double from tables in double, or as the tensors themselves. */
export type Road = "double" | "own";

/** The arithmetic of one implementation. */
export class Model {
  /** Arithmetic of tensors. */
  readonly a: Rounding;
  /** Arithmetic of what depends on the schedule and the options only. */
  readonly c: Rounding;
  readonly #schedule: (request: Fields) => ApproxSchedule;

  /** @param schedule the process of a request, with the errors of its tables on this road. */
  constructor(
    precision: Precision,
    road: Road,
    schedule: (request: Fields, c: Rounding) => ApproxSchedule,
  ) {
    this.a = new Rounding(UNIT[precision], SMALLEST[precision]);
    this.c = new Rounding(coefficientUnit(precision, road), 0);
    this.#schedule = (request) => schedule(request, this.c);
  }

  /** The process of a request. */
  schedule(request: Fields): ApproxSchedule {
    return this.#schedule(request);
  }

  /** A coefficient as it meets a tensor: rounded to the tensor's format. */
  enter(coefficient: Approx): Approx {
    return this.a.round(coefficient, 2);
  }

  /** A number of the request as it meets a tensor. */
  number(value: number): Approx {
    return this.a.of(value);
  }
}

/** Tables are float32 at least: in half precision nobody could have them. */
export function coefficientUnit(precision: Precision, road: Road): number {
  return road === "double" ? UNIT.f64 : Math.min(UNIT[precision], UNIT.f32);
}

/** What an operation returns, with bounds: fields by name, or `grads.dX` where they are nested. */
export type Bounds = Readonly<Record<string, readonly Approx[]>>;

/** Derives the bounds of a request's result; its formula in words is shown with a deviation. */
export interface BoundsOf {
  /** The computation whose rounding errors make the bound. */
  readonly formula: string;
  /** The bounds. */
  readonly bounds: (request: Fields, model: Model) => Bounds;
}

/** Values of a tensor that every implementation is given exactly. */
export function given(x: Tensor): Approx[] {
  return Array.from(x.data, exact);
}

/** For every element of x the coefficients of its sample's time. */
export function perElement<T>(x: Tensor, ofSample: (n: number) => T): T[] {
  const N = samplesOf(x.shape), D = x.data.length / N;
  const samples = Array.from({ length: N }, (_, n) => ofSample(n));
  return Array.from(x.data, (_, i) => samples[Math.floor(i / D)]);
}

/** The time of each sample of x. */
export function timesOf(request: Fields, name: string, x: Tensor): readonly number[] {
  const t = numberOrNumbersField(request, name);
  return typeof t === "number" ? new Array(samplesOf(x.shape)).fill(t) : t;
}
