/**
 * A bench's work in TensorFlow.js.
 *
 * @module
 */
import * as tf from "npm:@tensorflow/tfjs-core@4.22.0";
import { permute } from "../../src/reference/nn/permute.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { fromTfjs, startTfjs, type TfjsBackend, TfjsUnet, toTfjs } from "./tfjs_unet.ts";
import type { ConvWork, Program, UNetWork, Work } from "./work.ts";
import { serve } from "./worker.ts";

/** Serves work on a backend. */
export function serveTfjs(backend: TfjsBackend): void {
  const started = startTfjs(backend);
  serve(async (work) => {
    await started;
    return program(work);
  });
}

function program(work: Work): Program {
  return work.kind === "conv" ? convProgram(work) : unetProgram(work);
}

function images({ shape, data }: Tensor): tf.Tensor4D {
  const turned = permute({ shape, data }, [0, 2, 3, 1]);
  return tf.tensor4d(turned.data, [...turned.shape] as [number, number, number, number]);
}

async function fromImages(y: tf.Tensor): Promise<Float32Array> {
  return permute(tensor([...y.shape], await y.data() as Float32Array), [0, 3, 1, 2]).data;
}

/** Waits for one value of the last result: what was queued before it is done as well. */
async function finished(y: tf.Tensor): Promise<void> {
  const one = tf.tidy(() => tf.slice(tf.reshape(y, [-1]), 0, 1));
  await one.data();
  one.dispose();
}

function repeated(evaluate: () => tf.Tensor[]): Program["run"] {
  return async (times) => {
    for (let i = 1; i <= times; i++) {
      const results = evaluate();
      if (i === times) await finished(results[results.length - 1]);
      tf.dispose(results);
    }
  };
}

function convProgram({ x, weight, dY }: ConvWork): Program {
  const input = images(x);
  const turned = toTfjs(weight);
  const filter = tf.tensor4d(turned.data, [...turned.shape] as [number, number, number, number]);
  const forward = (x: tf.Tensor4D, w: tf.Tensor4D): tf.Tensor4D => tf.conv2d(x, w, 1, "same");
  const dOutput = dY === null ? null : images(dY);
  const evaluate = (): tf.Tensor[] => {
    if (dOutput === null) return [forward(input, filter)];
    const { value, grads: [dX, dW] } = tf.valueAndGrads((x, w) =>
      forward(x as tf.Tensor4D, w as tf.Tensor4D)
    )([input, filter], dOutput);
    return [value, dX, dW];
  };
  return {
    results: async () => {
      const [y, dX, dW] = evaluate();
      if (dOutput === null) return [await fromImages(y)];
      const dWeight = fromTfjs(dW.shape, await dW.data() as Float32Array).data;
      return [await fromImages(y), await fromImages(dX), dWeight];
    },
    run: repeated(evaluate),
  };
}

function unetProgram({ config, parameters, x, timesteps }: UNetWork): Program {
  const unet = new TfjsUnet(config, parameters);
  const input = images(x);
  const evaluate = (): tf.Tensor => tf.tidy(() => unet.network(input, timesteps));
  return {
    results: async () => [await fromImages(evaluate())],
    run: repeated(() => [evaluate()]),
  };
}
