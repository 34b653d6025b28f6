/**
 * Weights of the DDPM paper's own code or of its PyTorch port, as a safetensors file: which network they
 * are of can be told from their names and shapes.
 *
 * @module
 */
import { ArgumentError } from "../math/errors.ts";
import { FormatError } from "../spec/format_error.ts";
import type { StoredTensor } from "../spec/safetensors.ts";
import { type UNetConfig, unetConfig } from "../spec/unet_config.ts";
import { type Parameters, unetParameters } from "../spec/unet_parameters.ts";
import { originalName, originalNames, type OriginalStyle, type Path } from "./original_names.ts";
import { takeParameters } from "./take_parameters.ts";

/** A network and its weights. */
export interface OriginalModel {
  /** The network, with the conventions of the original code. */
  readonly unet: UNetConfig;
  /** The averaged weights, or the only ones. */
  readonly parameters: Parameters;
  /** Weights of the last step, where the file has both. */
  readonly raw?: Parameters;
}

type Tensors = ReadonlyMap<string, StoredTensor>;

/** TensorFlow's suffix of the averaged variables. */
const AVERAGE = "/ExponentialMovingAverage";

/** Variables beside the weights: Adam's moments, counters. */
const BESIDE = /\/(Adam|Adam_1)$|(^|\/)(global_step|beta[12]_power)$/;

/** Whose names a file's tensors have, or null if neither original's. */
export function originalStyle(tensors: Tensors): OriginalStyle | null {
  const names = [...tensors.keys()];
  if (names.some((name) => /(^|\/)temb\/dense0\/W/.test(name))) return "tensorflow";
  return names.some((name) => /^(module\.)?temb\.dense\.0\.weight$/.test(name)) ? "pytorch" : null;
}

/**
 * The model in the tensors of an original.
 *
 * TensorFlow variables may stand under a scope (`model/conv_in/W`) and end in `:0`; Adam's slots and counters
 * are passed over; averaged variables (`…/ExponentialMovingAverage`) are taken before the others. PyTorch
 * names may start with the `module.` of DataParallel.
 *
 * @param sampleSize height and width of the images, which no tensor tells.
 * @throws {FormatError} naming the tensors that are missing, too many or of another shape.
 */
export function readOriginal(
  tensors: Tensors,
  style: OriginalStyle,
  sampleSize: number | null,
  where: string,
): OriginalModel {
  const { averaged, raw } = style === "tensorflow"
    ? tensorflowSets(tensors, where)
    : { averaged: withoutPrefix(tensors, "module."), raw: null };
  const unet = configOf(averaged, style, sampleSize, where);
  const names = orFormatError(where, () => originalNames(unet, style));
  const take = (set: Tensors): Parameters =>
    takeParameters(
      unetParameters(unet),
      set,
      (name) => names.get(name) ?? { name, layout: "same" },
      where,
    );
  return { unet, parameters: take(averaged), ...(raw === null ? {} : { raw: take(raw) }) };
}

function tensorflowSets(
  tensors: Tensors,
  where: string,
): { averaged: Tensors; raw: Tensors | null } {
  const averaged = new Map<string, StoredTensor>(), raw = new Map<string, StoredTensor>();
  const scopes = new Set<string>();
  for (const [written, tensor] of tensors) {
    const name = written.replace(/:0$/, "");
    if (BESIDE.test(name)) continue;
    // The scope is whatever stands before the network's own paths.
    const [, scope, rest] = /^(.*?)((?:temb|down_\d+|mid|up_\d+|conv_in|norm_out|conv_out)\/.*)$/
      .exec(name) ?? [, "", name];
    scopes.add(scope ?? "");
    if (rest.endsWith(AVERAGE)) averaged.set(rest.slice(0, -AVERAGE.length), tensor);
    else raw.set(rest, tensor);
  }
  if (scopes.size > 1) {
    throw new FormatError(
      `Expected the variables of one model in ${where} but got those of ${
        [...scopes].map((scope) => `"${scope}"`).join(" and ")
      }`,
    );
  }
  if (averaged.size === 0) return { averaged: raw, raw: null };
  return { averaged, raw: raw.size === 0 ? null : raw };
}

function withoutPrefix(tensors: Tensors, prefix: string): Tensors {
  return new Map(
    [...tensors].map((
      [name, tensor],
    ) => [name.startsWith(prefix) ? name.slice(prefix.length) : name, tensor]),
  );
}

/** Levels that a file may have, so that one that claims more is not searched through. */
const MOST_LEVELS = 16;

function configOf(
  tensors: Tensors,
  style: OriginalStyle,
  sampleSize: number | null,
  where: string,
): UNetConfig {
  const shapeOf = (path: Path, kind: "conv" | "norm"): readonly number[] | null =>
    tensors.get(originalName(style, path, kind, "weight"))?.shape ?? null;
  const convolution = (...path: Path): readonly [inChannels: number, outChannels: number] => {
    const shape = shapeOf(path, "conv");
    if (shape?.length !== 4) {
      throw new FormatError(
        `Expected a convolution ${
          originalName(style, path, "conv", "weight")
        } in ${where} but got ` +
          (shape === null ? "none" : `a tensor of shape [${shape.join(", ")}]`),
      );
    }
    return style === "tensorflow" ? [shape[2], shape[3]] : [shape[1], shape[0]];
  };
  const count = (has: (i: number) => boolean, most: number): number => {
    let n = 0;
    while (n < most && has(n)) n++;
    return n;
  };
  const levels = count(
    (level) => shapeOf([["down", level], ["block", 0], "conv1"], "conv") !== null,
    MOST_LEVELS,
  );
  const layersPerBlock = count(
    (i) => shapeOf([["down", 0], ["block", i], "conv1"], "conv") !== null,
    tensors.size,
  );
  const each = Array.from({ length: levels }, (_, level) => level);
  const attention = each.map((level) =>
    shapeOf([["down", level], ["attn", 0], "norm"], "norm") !== null
  );
  const [inChannels] = convolution("conv_in");
  const [, outChannels] = convolution("conv_out");
  return orFormatError(where, () =>
    unetConfig({
      sampleSize,
      inChannels,
      outChannels,
      freqShift: 1,
      flipSinToCos: false,
      downBlockTypes: attention.map((has) => has ? "AttnDownBlock2D" : "DownBlock2D"),
      upBlockTypes: attention.toReversed().map((has) => has ? "AttnUpBlock2D" : "UpBlock2D"),
      blockOutChannels: each.map((level) => convolution(["down", level], ["block", 0], "conv1")[1]),
      layersPerBlock,
      downsamplePadding: 0,
      attentionHeadDim: null,
      normNumGroups: 32,
      normEps: 1e-6,
    }));
}

/** What a function gives; a config that cannot be is the file's fault. */
function orFormatError<T>(where: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    throw new FormatError(`Expected the weights of a DDPM U-Net in ${where}. ${error.message}`);
  }
}
