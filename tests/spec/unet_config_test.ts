import { assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../../src/math/errors.ts";
import {
  sampleHeightWidth,
  unetConfig,
  unetConfigFromDiffusers,
  unetConfigToDiffusers,
} from "../../src/spec/unet_config.ts";
import { CIFAR10, MNIST, MNIST_CLASSES, MNIST_TINY } from "../../src/spec/unet_presets.ts";

Deno.test("unetConfigFromDiffusers fills missing keys with UNet2DModel's defaults", () => {
  const config = unetConfigFromDiffusers({ _class_name: "UNet2DModel", _diffusers_version: "0" });
  assertEquals(config.freqShift, 0);
  assertEquals(config.flipSinToCos, true);
  assertEquals(config.normEps, 1e-5);
  assertEquals(config.attentionHeadDim, 8);
  assertEquals(config.downsamplePadding, 1);
  assertEquals(config.dropout, 0);
  assertEquals(config.blockOutChannels, [224, 448, 672, 896]);
  assertEquals(config, unetConfig({}));
});

Deno.test("unetConfigFromDiffusers reads the published CIFAR-10 config as the preset without dropout", () => {
  const published = {
    _class_name: "UNet2DModel",
    _diffusers_version: "0.0.4",
    act_fn: "silu",
    attention_head_dim: null,
    block_out_channels: [128, 256, 256, 256],
    center_input_sample: false,
    down_block_types: ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    downsample_padding: 0,
    flip_sin_to_cos: false,
    freq_shift: 1,
    in_channels: 3,
    layers_per_block: 2,
    mid_block_scale_factor: 1,
    norm_eps: 1e-6,
    norm_num_groups: 32,
    out_channels: 3,
    sample_size: 32,
    time_embedding_type: "positional",
    up_block_types: ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
  };
  assertEquals(unetConfigFromDiffusers(published), { ...CIFAR10, dropout: 0 });
});

Deno.test("unetConfigToDiffusers writes what unetConfigFromDiffusers reads back", () => {
  const odd = unetConfig({
    ...MNIST,
    sampleSize: [28, 32],
    centerInputSample: true,
    downBlockTypes: ["ResnetDownsampleBlock2D", "AttnDownBlock2D", "DownBlock2D"],
    upBlockTypes: ["UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"],
    midBlockScaleFactor: 1.5,
    downsampleType: "resnet",
    upsampleType: "resnet",
    attnNormNumGroups: 4,
    resnetTimeScaleShift: "scale_shift",
    addAttention: false,
    classEmbedType: "timestep",
  });
  for (const config of [CIFAR10, MNIST, MNIST_CLASSES, MNIST_TINY, odd]) {
    const json = JSON.parse(JSON.stringify(unetConfigToDiffusers(config)));
    assertEquals(unetConfigFromDiffusers(json), config);
  }
});

Deno.test("unetConfigFromDiffusers takes swish for silu", () => {
  assertEquals(unetConfigFromDiffusers({ act_fn: "swish" }).actFn, "silu");
});

Deno.test("unetConfigFromDiffusers refuses what is not supported, by name", () => {
  const refused: [unknown, string][] = [
    [[], "Expected the object of a UNet2DModel's config.json but got []"],
    [{ _class_name: "UNet2DConditionModel" }, '_class_name to be "UNet2DModel" but got "UNet2DCon'],
    [{ cross_attention_dim: 768 }, 'a field of UNet2DModel but got "cross_attention_dim"'],
    [
      { time_embedding_type: "fourier" },
      'time_embedding_type to be "positional" but got "fourier"',
    ],
    [{ act_fn: "gelu" }, 'Expected act_fn to be "silu" but got "gelu"'],
    [
      { down_block_types: ["SkipDownBlock2D"] },
      'every entry of down_block_types to be "DownBlock2D"',
    ],
    [{ down_block_types: [] }, "a non-empty list for down_block_types but got []"],
    [{ block_out_channels: [32, 0.5] }, "every entry of block_out_channels in 1.."],
    [{ block_out_channels: [32, 64] }, "Expected 2 entries of down_block_types, one per entry"],
    [{ downsample_padding: 2 }, "downsample_padding to be 0 or 1 but got 2"],
    [{ resnet_time_scale_shift: "spatial" }, 'to be "default" or "scale_shift" but got "spatial"'],
    [{ norm_num_groups: null }, "norm_num_groups in 1.."],
    [{ norm_eps: 0 }, "norm_eps above 0 but got 0"],
    [{ dropout: 1 }, "dropout in [0, 1) but got 1"],
    [{ flip_sin_to_cos: 1 }, "true or false for flip_sin_to_cos but got 1"],
    [{ sample_size: [28] }, "a size or a pair of sizes for sample_size but got [28]"],
    [{ class_embed_type: "projection" }, 'class_embed_type to be "timestep" or "identity" or null'],
    [{ attention_legacy_order: true }, "attention_legacy_order to be false but got true"],
    [{ freq_shift: 112 }, "freq_shift below half of the first block_out_channels but got 112"],
  ];
  for (const [json, message] of refused) {
    assertThrows(() => unetConfigFromDiffusers(json), ArgumentError, message);
  }
});

Deno.test("unetConfig refuses a field by its own name", () => {
  assertThrows(() => unetConfig({ layersPerBlock: 0 }), ArgumentError, "layersPerBlock in 1..");
});

Deno.test("sampleHeightWidth spells out a single size", () => {
  assertEquals(sampleHeightWidth(MNIST), [28, 28]);
  assertEquals(sampleHeightWidth(unetConfig({ ...MNIST, sampleSize: [16, 32] })), [16, 32]);
  assertEquals(sampleHeightWidth(unetConfig({})), null);
});
