import { assert, assertEquals } from "@std/assert";
import { normalTensor } from "../../src/math/noise.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  storedDoubles,
  storedTensor,
} from "../../src/spec/safetensors.ts";
import { unetConfigFromDiffusers } from "../../src/spec/unet_config.ts";
import { unetParameters } from "../../src/spec/unet_parameters.ts";
import { ask, oracleInMemory, TINY_UNET } from "../support/oracle_session.ts";

/** With attention in the middle, over four positions. */
const config = {
  ...TINY_UNET,
  block_out_channels: [4],
  add_attention: true,
  attention_head_dim: 2,
};
const classes = { ...config, num_class_embeds: 3 };

/** Small normal weights for a config, by today's names. */
function weightsOf(fields: object): Map<string, Tensor> {
  const specs = unetParameters(unetConfigFromDiffusers(fields));
  return new Map(specs.map(({ name, shape }, i) => {
    const streams = Array.from({ length: shape[0] }, (_, row) => i * 100 + row);
    return [name, normalTensor(1, streams, shape)];
  }));
}

const request = {
  op: "unet",
  config,
  weights: "weights",
  x: { shape: [1, 1, 2, 2], data: [1, 2, -1, 0.5] },
  timesteps: 7,
  target: { shape: [1, 1, 2, 2], data: [0, 1, 0, -1] },
};

Deno.test("unet reads the attention names that diffusers used to have, and today's", () => {
  const { oracle, files } = oracleInMemory();
  const today = weightsOf(config);
  const was: Record<string, string> = {
    "to_q": "query",
    "to_k": "key",
    "to_v": "value",
    "to_out.0": "proj_attn",
  };
  const rename = (name: string) =>
    name.replace(/\.(to_[qkv]|to_out\.0)\./, (_, layer) => `.${was[layer]}.`);
  const legacy = new Map([...today].map(([name, t]) => [rename(name), t]));
  assertEquals([...legacy.keys()].filter((name) => !today.has(name)).length, 8);
  files.set("weights", encodeSafetensors(today));
  files.set("legacy", encodeSafetensors(legacy));
  const answer = ask(oracle, { ...request, out: "today.out" });
  assert(answer.ok, answer.error?.message);
  assertEquals(ask(oracle, { ...request, weights: "legacy", out: "legacy.out" }), answer);
  // The gradients have today's names, whatever the weights had.
  assertEquals(files.get("legacy.out"), files.get("today.out"));
});

Deno.test("unet's gradients are the slopes of its loss", () => {
  const { oracle, files } = oracleInMemory();
  const weights = weightsOf(config);
  files.set("weights", encodeSafetensors(weights));
  const loss = (changes: object) => Number(ask(oracle, { ...request, ...changes }).result?.loss);
  ask(oracle, { ...request, out: "out" });
  const written = decodeSafetensors(files.get("out") ?? new Uint8Array()).tensors;
  const gradient = (name: string, i: number) => {
    const stored = written.get(name);
    assert(stored !== undefined, name);
    return storedDoubles(stored)[i];
  };
  // A central difference at h has error h²·|f‴|/6 plus the loss's own float32 rounding over h: at
  // h = 2^−7 both stay under 1 % of these slopes, and a factor of two does not.
  const h = 2 ** -7;
  const check = (name: string, analytic: number, up: number, down: number) => {
    const slope = (up - down) / (2 * h);
    assert(
      Math.abs(slope - analytic) <= 0.01 * Math.abs(analytic) + 1e-4,
      `${name}: ${analytic} is not ${slope}`,
    );
  };
  const xAt = (step: number) => ({ x: { shape: [1, 1, 2, 2], data: [1, 2 + step, -1, 0.5] } });
  check("grad.x", gradient("grad.x", 1), loss(xAt(h)), loss(xAt(-h)));
  for (const name of ["conv_out.bias", "conv_in.weight", "mid_block.attentions.0.to_v.weight"]) {
    const moved = (step: number) => {
      const parameter = weights.get(name);
      assert(parameter !== undefined);
      const data = parameter.data.slice();
      data[0] += step;
      files.set("moved", encodeSafetensors(new Map([...weights, [name, { ...parameter, data }]])));
      return loss({ weights: "moved" });
    };
    check(name, gradient(`grad.${name}`, 0), moved(h), moved(-h));
  }
});

Deno.test("unet's output is in its answer, in its file, and without a target the file holds nothing else", () => {
  const { oracle, files } = oracleInMemory();
  files.set("weights", encodeSafetensors(weightsOf(config)));
  const { target: _, ...forward } = request;
  const answer = ask(oracle, { ...forward, out: "out" });
  assertEquals(Object.keys(answer.result ?? {}), ["output"]);
  const written = decodeSafetensors(files.get("out") ?? new Uint8Array()).tensors;
  assertEquals([...written.keys()], ["output"]);
  const output = written.get("output");
  assert(output !== undefined);
  const { shape, data } = storedTensor(output);
  assertEquals(answer.result?.output, { shape, data: Array.from(data) });
});

Deno.test("unet's limit on attention knows at which resolution it attends", () => {
  const { oracle, files } = oracleInMemory();
  const coarse = {
    ...config,
    block_out_channels: [4, 4],
    down_block_types: ["DownBlock2D", "DownBlock2D"],
    up_block_types: ["UpBlock2D", "UpBlock2D"],
  };
  const fine = { ...coarse, down_block_types: ["AttnDownBlock2D", "DownBlock2D"] };
  const x = { shape: [1, 1, 54, 54], data: new Array(54 * 54).fill(0) };
  for (const fields of [coarse, fine]) {
    files.set("weights", encodeSafetensors(weightsOf(fields)));
    const answer = ask(oracle, { op: "unet", config: fields, weights: "weights", x, timesteps: 0 });
    // 54⁴ scores are over the limit, 27⁴ are not.
    assertEquals(answer.ok, fields === coarse, answer.error?.message);
  }
});

Deno.test("weights and outputs that are not finite are refused, and no file is written", () => {
  const { oracle, files } = oracleInMemory();
  const weights = weightsOf(config);
  const spoilt = (name: string, value: number) => {
    const parameter = weights.get(name);
    assert(parameter !== undefined);
    const data = new Float32Array(parameter.data.length).fill(value);
    files.set("weights", encodeSafetensors(new Map([...weights, [name, { ...parameter, data }]])));
    const answer = ask(oracle, { ...request, out: "out" });
    assertEquals(answer.error?.code, "invalid_argument");
    assert(!files.has("out"));
    return answer.error?.message ?? "";
  };
  assert(spoilt("conv_in.bias", NaN).includes("conv_in.bias is finite"));
  assert(spoilt("conv_out.weight", 3e38).includes("output is finite"));
});

Deno.test("unet takes class labels where the config has classes, one time per sample or one for all", () => {
  const { oracle, files } = oracleInMemory();
  files.set("weights", encodeSafetensors(weightsOf(classes)));
  const two = { shape: [2, 1, 1, 1], data: [1, 1] };
  const base = { op: "unet", config: classes, weights: "weights", x: two };
  const output = (fields: object) => {
    const answer = ask(oracle, { ...base, ...fields });
    assert(answer.ok, answer.error?.message);
    return (answer.result?.output as { data: number[] }).data;
  };
  const one = output({ timesteps: 5, classLabels: [0, 2] });
  assertEquals(output({ timesteps: [5, 5], classLabels: [0, 2] }), one);
  assertEquals(output({ timesteps: 5, classLabels: [2, 0] }), [...one].reverse());
  assert(one[0] !== one[1]);
  assert(output({ timesteps: [5, 6], classLabels: [0, 0] })[1] !== one[0]);
  assertEquals(ask(oracle, { ...base, timesteps: 5 }).error?.code, "invalid_argument");
  const outside = ask(oracle, { ...base, timesteps: 5, classLabels: [0, 3] });
  assertEquals(outside.error?.code, "invalid_argument");
});
