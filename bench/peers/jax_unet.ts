/**
 * The U-Net of the benches in jax-js, with the same weights. An array there is used up by the operation
 * that takes it; `ref` keeps it.
 *
 * @module
 */
import { type Array as JaxArray, jit, lax, nn, numpy as np } from "npm:@jax-js/jax@0.1.25";
import { permute } from "../../src/reference/nn/permute.ts";
import { timeEmbedding } from "../../src/reference/nn/time_embedding.ts";
import type { UNetConfig } from "../../src/spec/unet_config.ts";
import {
  type AttentionModule,
  type ResnetModule,
  unetModules,
} from "../../src/spec/unet_modules.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";

type Padding = "VALID" | [number, number][];
const SAME: Padding = [[1, 1], [1, 1]];

/** Weights in order, embedded times, and ε̂ of them and x. */
export interface JaxUnet {
  readonly weights: readonly JaxArray[];
  readonly times: JaxArray;
  readonly forward: (weights: JaxArray[], x: JaxArray, times: JaxArray) => JaxArray;
}

/** The U-Net with the DDPM conventions (`default` time shift, convolutional resampling, one head). */
export function jaxUnet(
  config: UNetConfig,
  parameters: Parameters,
  timesteps: readonly number[],
): JaxUnet {
  const names = [...parameters.keys()];
  const weights = [...parameters].map(([name, p]) => {
    // Products take [I, O]; attention's are convolutions of one position here.
    const turned = p.shape.length === 2 && !isAttention(name) ? permute(p, [1, 0]) : p;
    const shape = isAttention(name) && p.shape.length === 2 ? [...p.shape, 1, 1] : turned.shape;
    return np.array(turned.data.slice(), { shape: [...shape] });
  });
  const C = config.blockOutChannels[0];
  const times = np.array(timeEmbedding(timesteps, C).data.slice(), {
    shape: [timesteps.length, C],
  });
  const forward = jit((weights: JaxArray[], x: JaxArray, times: JaxArray) =>
    new Network(config, new Map(names.map((name, k) => [name, weights[k]]))).forward(x, times)
  );
  return { weights, times, forward };
}

function isAttention(name: string): boolean {
  return /\.to_(q|k|v|out\.0)\./.test(name);
}

class Network {
  constructor(
    readonly config: UNetConfig,
    readonly weights: ReadonlyMap<string, JaxArray>,
  ) {}

  forward(x: JaxArray, times: JaxArray): JaxArray {
    const hidden = nn.silu(this.#linear(times, "time_embedding.linear_1"));
    const e = nn.silu(this.#linear(hidden, "time_embedding.linear_2"));
    let h = this.#conv(x, "conv_in");
    const skips = [h.ref];
    for (const module of unetModules(this.config)) {
      if (module.takesSkip) h = np.concatenate([h, skips.pop() as JaxArray], 1);
      if (module.kind === "resnet") h = this.#resnet(h, e, module);
      else if (module.kind === "attention") h = this.#attention(h, module);
      else if (module.kind === "downsample") {
        h = this.#conv(h, `${module.name}.conv`, 2, [[0, 1], [0, 1]]);
      } else h = this.#conv(doubled(h), `${module.name}.conv`);
      if (module.leavesSkip) skips.push(h.ref);
    }
    e.dispose();
    return this.#conv(nn.silu(this.#norm(h, "conv_norm_out")), "conv_out");
  }

  #resnet(h: JaxArray, e: JaxArray, { name, inChannels, outChannels: O }: ResnetModule): JaxArray {
    const time = this.#linear(e.ref, `${name}.time_emb_proj`).reshape([-1, O, 1, 1]);
    const first = this.#conv(nn.silu(this.#norm(h.ref, `${name}.norm1`)), `${name}.conv1`);
    const timed = nn.silu(this.#norm(first.add(time), `${name}.norm2`));
    const branch = this.#conv(timed, `${name}.conv2`);
    return branch.add(
      inChannels === O ? h : this.#conv(h, `${name}.conv_shortcut`, 1, "VALID"),
    );
  }

  #attention(h: JaxArray, { name, channels: C }: AttentionModule): JaxArray {
    const [N, , H, W] = h.shape;
    const normed = this.#norm(h.ref, `${name}.group_norm`);
    const rows = (letter: string, x: JaxArray): JaxArray =>
      this.#conv(x, `${name}.to_${letter}`, 1, "VALID").reshape([N, C, H * W]);
    const q = rows("q", normed.ref), k = rows("k", normed.ref), v = rows("v", normed);
    const scores = np.matmul(q.transpose([0, 2, 1]), k).mul(C ** -0.5);
    const P = nn.softmax(scores, -1);
    const y = np.matmul(v, P.transpose([0, 2, 1])).reshape([N, C, H, W]);
    return h.add(this.#conv(y, `${name}.to_out.0`, 1, "VALID"));
  }

  #conv(x: JaxArray, name: string, stride = 1, padding: Padding = SAME): JaxArray {
    const y = lax.conv(x, this.#weight(`${name}.weight`), [stride, stride], padding);
    return y.add(this.#perChannel(`${name}.bias`));
  }

  #linear(x: JaxArray, name: string): JaxArray {
    return np.matmul(x, this.#weight(`${name}.weight`)).add(this.#weight(`${name}.bias`));
  }

  #norm(x: JaxArray, name: string): JaxArray {
    const [N, C, H, W] = x.shape;
    const { normNumGroups: G, normEps } = this.config;
    const grouped = x.reshape([N, G, (C / G) * H * W]);
    const centred = grouped.ref.sub(np.mean(grouped, 2, { keepdims: true }));
    const variance = np.mean(centred.ref.mul(centred.ref), 2, { keepdims: true });
    const normed = centred.mul(np.reciprocal(np.sqrt(variance.add(normEps))));
    return normed.reshape([N, C, H, W]).mul(this.#perChannel(`${name}.weight`))
      .add(this.#perChannel(`${name}.bias`));
  }

  #perChannel(name: string): JaxArray {
    return this.#weight(name).reshape([1, -1, 1, 1]);
  }

  #weight(name: string): JaxArray {
    return (this.weights.get(name) as JaxArray).ref;
  }
}

/** Every pixel twice in both directions. */
function doubled(x: JaxArray): JaxArray {
  const [N, C, H, W] = x.shape;
  const spread = np.broadcastTo(x.reshape([N, C, H, 1, W, 1]), [N, C, H, 2, W, 2]);
  return spread.reshape([N, C, 2 * H, 2 * W]);
}
