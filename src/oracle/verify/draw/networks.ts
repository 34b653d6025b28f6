import { OUT_NAME, weightsName } from "../networks.ts";
import { type Arbitrary, type Cell, cut, type Parts, perSample } from "./parts.ts";

type Json = Readonly<Record<string, unknown>>;

/** What a kind of network has in its config besides what all have, given its levels and its groups. */
interface Kind {
  readonly label: string;
  readonly fields: (levels: number, groups: number) => readonly Json[];
  /** How classes enter, if they do. */
  readonly classes?: "table" | "timestep" | "identity";
}

/** Levels of one type. */
function blocks(levels: number, down: string, up: string = down.replace("Down", "Up")): Json {
  const all = (type: string) => new Array(levels).fill(type);
  return { down_block_types: all(`${down}2D`), up_block_types: all(`${up}2D`) };
}

/** Attention at the finest level only. */
function finest(levels: number): Json {
  const rest = (type: string) => new Array(levels - 1).fill(type);
  return {
    down_block_types: ["AttnDownBlock2D", ...rest("DownBlock2D")],
    up_block_types: [...rest("UpBlock2D"), "AttnUpBlock2D"],
  };
}

const PLAIN: Kind = {
  label: "no attention",
  fields: (levels) => [{ ...blocks(levels, "DownBlock"), add_attention: false }],
};

const ATTENTION: Kind = {
  label: "attention",
  fields: (levels, groups) => {
    const middle = { ...blocks(levels, "DownBlock"), add_attention: true };
    const heads = { attention_head_dim: groups };
    return [
      { ...middle, attention_head_dim: null },
      { ...middle, ...heads },
      { ...blocks(levels, "AttnDownBlock"), add_attention: true, ...heads },
      { ...finest(levels), add_attention: false, attention_head_dim: 1 },
      { ...middle, attention_head_dim: null, attn_norm_num_groups: 1 },
    ];
  },
};

const SCALE_SHIFT: Kind = {
  label: "resnet_time_scale_shift scale_shift",
  fields: (levels) => {
    const scaled = { ...blocks(levels, "DownBlock"), resnet_time_scale_shift: "scale_shift" };
    const heads = { attention_head_dim: null };
    return [
      { ...scaled, add_attention: false },
      { ...scaled, add_attention: true, ...heads },
      { ...scaled, add_attention: true, ...heads, attn_norm_num_groups: 1 },
    ];
  },
};

const RESNET: Kind = {
  label: "resampling by residual blocks",
  fields: (levels) => [
    { ...blocks(levels, "ResnetDownsampleBlock", "ResnetUpsampleBlock"), add_attention: false },
    {
      ...blocks(levels, "AttnDownBlock"),
      add_attention: false,
      attention_head_dim: null,
      downsample_type: "resnet",
      upsample_type: "resnet",
    },
  ],
};

const KINDS: readonly Kind[] = [
  PLAIN,
  ATTENTION,
  RESNET,
  SCALE_SHIFT,
  { ...PLAIN, label: "classes by a table", classes: "table" },
  { ...PLAIN, label: "class_embed_type timestep", classes: "timestep" },
  { ...PLAIN, label: "class_embed_type identity", classes: "identity" },
];

/** Numbers of groups with the channels of the first level: multiples, and 4 for freq_shift 1. */
const WIDTHS: readonly (readonly [number, number])[] = [[1, 4], [2, 4], [1, 5], [3, 6], [5, 5], [
  2,
  6,
]];
/** Height and width of one level, and of two: a group has more than one element at every level. */
const SIDES: readonly (readonly [number, number])[] = [[2, 2], [2, 3], [1, 3]];

function classFields(classes: Kind["classes"]): Json {
  if (classes === "table") return { num_class_embeds: 3 };
  return classes === undefined ? {} : { class_embed_type: classes };
}

/** Requests about networks of some kinds, with gradients or without. */
function requests(parts: Parts, kinds: readonly Kind[], gradients: boolean): Arbitrary<Json> {
  const { fc } = parts, upTo = (max: number) => fc.integer({ min: 1, max });
  // Few values, so that a failing request is small after few networks.
  const pool = (count: number, most: number) =>
    fc.array(fc.noBias(fc.integer({ min: -most, max: most })), {
      minLength: count,
      maxLength: count,
    });
  return fc.record({
    kind: parts.choice(...kinds),
    variety: fc.integer({ min: 0, max: 59 }),
    levels: upTo(2),
    width: parts.choice(...WIDTHS),
    wider: parts.choice(0, 1),
    layers: parts.choice(1, 1, 1, 2),
    config: fc.record({
      in_channels: upTo(2),
      out_channels: upTo(2),
      norm_eps: parts.choice(1e-5, 1e-6, 0.1, 1e-3),
      freq_shift: parts.choice(0, 1),
      flip_sin_to_cos: parts.choice(true, false),
      center_input_sample: parts.choice(false, false, true),
      mid_block_scale_factor: parts.choice(1, 1, 1.5),
      downsample_padding: parts.choice(1, 0),
    }),
    seed: fc.noBias(fc.integer({ min: 0, max: 999_999 })),
    side: parts.choice(...SIDES),
    N: upTo(2),
    when: parts.when(),
    target: gradients ? parts.choice(true) : parts.choice(false, false, true),
    x: pool(30, 8),
    y: pool(30, 8),
    labels: pool(48, 99),
  }).map(({ kind, variety, levels, width, wider, layers, config, seed, ...rest }) => {
    const [groups, first] = width, { side, N, when, x, y, labels } = rest;
    const channels = Array.from({ length: levels }, (_, level) => first + level * wider * groups);
    const varieties = kind.fields(levels, groups);
    const [H, W] = side.map((size) => size * 2 ** (levels - 1));
    const { classes } = kind;
    const classLabels = classes === "identity"
      ? cut([N, 4 * first], labels, 1 / 64)
      : labels.slice(0, N).map((label) => Math.abs(label) % (classes === "table" ? 3 : 100));
    return {
      op: "unet",
      config: {
        ...config,
        block_out_channels: channels,
        layers_per_block: layers,
        norm_num_groups: groups,
        ...varieties[variety % varieties.length],
        ...classFields(classes),
      },
      weights: weightsName(seed),
      x: cut([N, config.in_channels, H, W], x, 1 / 4),
      timesteps: perSample(when, N, (n) => when.picks[n]),
      ...(classes === undefined ? {} : { classLabels }),
      ...(rest.target ? { target: cut([N, config.out_channels, H, W], y, 1 / 4) } : {}),
      ...(gradients ? { out: OUT_NAME } : {}),
    };
  });
}

/** Draws of `unet`, by kind of network, and with the gradients of several kinds. */
export function unetCells(parts: Parts): Cell[] {
  const cell = (label: string, drawn: Arbitrary<Json>): Cell => ({
    label,
    requests: drawn.map((request) => ({ ...request, op: "unet" })),
  });
  return [
    ...KINDS.map((kind) => cell(kind.label, requests(parts, [kind], false))),
    cell("gradients", requests(parts, [PLAIN, ATTENTION, SCALE_SHIFT, KINDS[4]], true)),
    cell("gradients, resampling by residual blocks", requests(parts, [RESNET], true)),
  ];
}
