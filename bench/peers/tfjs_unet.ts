/**
 * The U-Net of the benches in TensorFlow.js: a peer in the same language, on the same machine, with the
 * same weights. Images are N H W C there; weights are turned once, before the clock.
 *
 * @module
 */
import * as tf from "npm:@tensorflow/tfjs-core@4.22.0";
import { registerGradients } from "./tfjs_gradients.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { permute } from "../../src/reference/nn/permute.ts";
import { timeEmbedding } from "../../src/reference/nn/time_embedding.ts";
import type { UNetConfig } from "../../src/spec/unet_config.ts";
import {
  type AttentionModule,
  type ResnetModule,
  unetModules,
} from "../../src/spec/unet_modules.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";

/** What TensorFlow.js computes on: plain JavaScript, WebAssembly on one thread, or WebGPU. */
export type TfjsBackend = "cpu" | "wasm" | "webgpu";

const LOAD: Readonly<Record<TfjsBackend, () => Promise<unknown>>> = {
  cpu: () => import("npm:@tensorflow/tfjs-backend-cpu@4.22.0"),
  wasm: () => import("npm:@tensorflow/tfjs-backend-wasm@4.22.0"),
  webgpu: () => import("npm:@tensorflow/tfjs-backend-webgpu@4.22.0"),
};

/** Starts a backend. */
export async function startTfjs(backend: TfjsBackend): Promise<void> {
  // Without its advice to install a native one.
  if (backend === "cpu") tf.env().set("IS_NODE", false);
  await LOAD[backend]();
  if (!await tf.setBackend(backend)) throw new Error(`Expected tfjs to start on ${backend}`);
  await tf.ready();
  registerGradients();
}

/** The U-Net with the DDPM conventions (`default` time shift, convolutional resampling, one head). */
export class TfjsUnet {
  readonly #weights = new Map<string, tf.Variable>();

  constructor(readonly config: UNetConfig, parameters: Parameters) {
    for (const [name, p] of parameters) {
      const { shape, data } = toTfjs(p);
      this.#weights.set(name, tf.variable(tf.tensor(data, [...shape]), true, name));
    }
  }

  /** ε̂ for x `[N, C, H, W]`. */
  forward(x: Tensor, timesteps: readonly number[]): Tensor {
    return scoped(() => {
      const images = permute(x, [0, 2, 3, 1]);
      const y = this.network(tf.tensor4d(images.data, shape4(images)), timesteps);
      return fromImages(y);
    });
  }

  /** Output, and the gradients by name of mean((output − target)²). */
  forwardBackward(
    x: Tensor,
    timesteps: readonly number[],
    target: Tensor,
  ): { output: Tensor; gradients: Map<string, Tensor> } {
    return scoped(() => {
      const images = permute(x, [0, 2, 3, 1]), wanted = permute(target, [0, 2, 3, 1]);
      const input = tf.tensor4d(images.data, shape4(images));
      const goal = tf.tensor4d(wanted.data, shape4(wanted));
      let output: Tensor | undefined;
      const { grads } = tf.variableGrads(() => {
        const y = this.network(input, timesteps);
        output = fromImages(y);
        return tf.mean(tf.square(tf.sub(y, goal))) as tf.Scalar;
      });
      const gradients = new Map(
        Object.entries(grads).map(([name, g]) => [
          name,
          fromTfjs(g.shape, g.dataSync() as Float32Array),
        ]),
      );
      return { output: output as Tensor, gradients };
    });
  }

  /** ε̂ `[N, H, W, C]` for x `[N, H, W, C]`. */
  network(x: tf.Tensor4D, timesteps: readonly number[]): tf.Tensor4D {
    const { config } = this;
    const C = config.blockOutChannels[0];
    const sinusoids = tf.tensor2d(timeEmbedding(timesteps, C).data, [timesteps.length, C]);
    const hidden = silu(this.#linear(sinusoids, "time_embedding.linear_1"));
    const e = silu(this.#linear(hidden, "time_embedding.linear_2"));
    let h = this.#conv(x, "conv_in");
    const skips = [h];
    for (const module of unetModules(config)) {
      if (module.takesSkip) h = tf.concat([h, skips.pop() as tf.Tensor4D], 3);
      if (module.kind === "resnet") h = this.#resnet(h, e, module);
      else if (module.kind === "attention") h = this.#attention(h, module);
      else if (module.kind === "downsample") {
        const padded = tf.pad(h, [[0, 0], [0, 1], [0, 1], [0, 0]]);
        h = this.#conv(padded, `${module.name}.conv`, 2, "valid");
      } else {
        const [, H, W] = h.shape;
        h = this.#conv(tf.image.resizeNearestNeighbor(h, [2 * H, 2 * W]), `${module.name}.conv`);
      }
      if (module.leavesSkip) skips.push(h);
    }
    return this.#conv(silu(this.#norm(h, "conv_norm_out")), "conv_out");
  }

  #resnet(
    h: tf.Tensor4D,
    e: tf.Tensor2D,
    { name, inChannels, outChannels }: ResnetModule,
  ): tf.Tensor4D {
    const time = this.#linear(e, `${name}.time_emb_proj`);
    const first = this.#conv(silu(this.#norm(h, `${name}.norm1`)), `${name}.conv1`);
    const timed = tf.add<tf.Tensor4D>(first, tf.reshape(time, [-1, 1, 1, outChannels]));
    const branch = this.#conv(silu(this.#norm(timed, `${name}.norm2`)), `${name}.conv2`);
    const shortcut = inChannels === outChannels ? h : this.#conv(h, `${name}.conv_shortcut`);
    return tf.add(shortcut, branch);
  }

  #attention(h: tf.Tensor4D, { name, channels: C }: AttentionModule): tf.Tensor4D {
    const [N, H, W] = h.shape;
    const tokens = tf.reshape(this.#norm(h, `${name}.group_norm`), [N * H * W, C]) as tf.Tensor2D;
    const rows = (letter: string): tf.Tensor3D =>
      tf.reshape(this.#linear(tokens, `${name}.to_${letter}`), [N, H * W, C]);
    const scores = tf.matMul(rows("q"), rows("k"), false, true);
    const P = tf.softmax(tf.mul(scores, C ** -0.5));
    const y = tf.reshape(tf.matMul(P, rows("v")), [N * H * W, C]) as tf.Tensor2D;
    return tf.add(h, tf.reshape(this.#linear(y, `${name}.to_out.0`), h.shape));
  }

  #conv(x: tf.Tensor4D, name: string, stride = 1, pad: "same" | "valid" = "same"): tf.Tensor4D {
    const weight = this.#weight(`${name}.weight`) as unknown as tf.Tensor4D;
    return tf.add(tf.conv2d(x, weight, stride, pad), this.#weight(`${name}.bias`));
  }

  #linear(x: tf.Tensor2D, name: string): tf.Tensor2D {
    const weight = this.#weight(`${name}.weight`) as unknown as tf.Tensor2D;
    return tf.add(tf.matMul(x, weight), this.#weight(`${name}.bias`));
  }

  #norm(x: tf.Tensor4D, name: string): tf.Tensor4D {
    const [N, H, W, C] = x.shape;
    const { normNumGroups: G, normEps } = this.config;
    const grouped = tf.reshape(x, [N, H * W, G, C / G]);
    const { mean, variance } = tf.moments(grouped, [1, 3], true);
    const normed = tf.mul(tf.sub(grouped, mean), tf.rsqrt(tf.add(variance, normEps)));
    const weighted = tf.mul(tf.reshape(normed, x.shape), this.#weight(`${name}.weight`));
    return tf.add(weighted, this.#weight(`${name}.bias`));
  }

  #weight(name: string): tf.Variable {
    return this.#weights.get(name) as tf.Variable;
  }
}

/** Frees what `body` allocates. */
function scoped<T>(body: () => T): T {
  tf.engine().startScope();
  try {
    return body();
  } finally {
    tf.engine().endScope();
  }
}

function silu<T extends tf.Tensor>(x: T): T {
  return tf.mul(x, tf.sigmoid(x));
}

function shape4(x: Tensor): [number, number, number, number] {
  return [...x.shape] as [number, number, number, number];
}

function fromImages(y: tf.Tensor4D): Tensor {
  return permute(tensor([...y.shape], y.dataSync()), [0, 3, 1, 2]);
}

/** Convolutions from `[O, C, kH, kW]` to `[kH, kW, C, O]`, linear layers from `[O, I]` to `[I, O]`. */
export function toTfjs(p: Tensor): Tensor {
  if (p.shape.length === 4) return permute(p, [2, 3, 1, 0]);
  return p.shape.length === 2 ? permute(p, [1, 0]) : p;
}

/** The inverse of {@linkcode toTfjs}. */
export function fromTfjs(shape: readonly number[], data: Float32Array): Tensor {
  const p = tensor(shape, data);
  if (shape.length === 4) return permute(p, [3, 2, 0, 1]);
  return shape.length === 2 ? permute(p, [1, 0]) : p;
}
