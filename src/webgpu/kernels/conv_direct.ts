/**
 * Convolution and its gradients by their definitions, one invocation per result: what the other
 * algorithms are compared with.
 *
 * @module
 */
import { type Launch, linearGrid, type View } from "../kernel.ts";
import { convExtent, type ConvSizes, type ConvTensors } from "./im2col.ts";
import { Shader } from "./layout.ts";

const WORKGROUP = 64;

const HEAD = `
@compute @workgroup_size(${WORKGROUP})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (id.x + id.y * grid.x) * ${WORKGROUP}u + lane;
  if (index >= p.count) { return; }
`;

/** Parameters that the convolution and its gradients share. */
function sizeParams(sizes: ConvSizes): Record<string, number> {
  const { C, O, H, W, kernel, stride, padding: [top, , left] } = sizes;
  const { outH, outW } = convExtent(sizes);
  return { C, O, H, W, kernel, stride, top, left, outH, outW, P: outH * outW };
}

/** Multiplications and additions, and the bytes of input, output and weights. */
function costOf({ N, C, O, H, W, ...sizes }: ConvSizes): { flops: number; bytes: number } {
  const { outH, outW } = convExtent({ N, C, O, H, W, ...sizes });
  const K = sizes.kernel ** 2 * C, P = outH * outW;
  return { flops: 2 * N * O * P * K, bytes: 4 * (N * C * H * W + N * O * P + K * O) };
}

function gridOf(count: number, N: number): [number, number, number] {
  const [x, y] = linearGrid(Math.ceil(count / WORKGROUP));
  return [x, y, N];
}

/**
 * y[n,o,i,j] = (Σ_{ky,kx,c} w[ky,kx,c,o]·x[n,c, stride·i + ky − top, stride·j + kx − left] + bias[o]
 * + perSample[n,o] + residual[n,o,i,j]) / outputScale.
 */
export function directForward<T>(
  sizes: ConvSizes,
  tensors: Omit<ConvTensors<T>, "columns">,
): Launch<T> {
  const { x, weights, y, bias, perSample, residual, outputScale = 1 } = tensors;
  const { N, O } = sizes;
  const { outH, outW } = convExtent(sizes);
  const shader = new Shader<T>();
  shader.integers({ ...sizeParams(sizes), count: O * outH * outW });
  shader.floats({ outputScale });
  const image = shader.view("image", 1, x, "read");
  const w = shader.tensor("w", "f32", weights, "read");
  const result = shader.view("result", 1, y, "write");
  const added = [
    bias && `${shader.tensor("bias", "f32", bias.tensor, "read")}[p.biasOffset + o]`,
    perSample && `${shader.view("e", 1, perSample, "read")}[p.eOffset + id.z * p.eStride + o]`,
    residual && `${shader.view("r", 1, residual, "read")}[p.rOffset + id.z * p.rStride + index]`,
  ].filter((term) => term !== undefined);
  shader.integers({ biasOffset: bias?.offset ?? 0 });
  const body = `${HEAD}  let o = index / p.P;
  let i = (index - o * p.P) / p.outW;
  let j = index - o * p.P - i * p.outW;
  var sum = 0.0;
  for (var ky = 0u; ky < p.kernel; ky++) {
    for (var kx = 0u; kx < p.kernel; kx++) {
      // Below zero these wrap around, to numbers outside of the image.
      let y = i * p.stride + ky - p.top;
      let x = j * p.stride + kx - p.left;
      if (y < p.H && x < p.W) {
        var atX = p.imageOffset + id.z * p.imageStride + y * p.W + x;
        var atW = (ky * p.kernel + kx) * p.C * p.O + o;
        for (var c = 0u; c < p.C; c++) {
          sum = fma(${w}[atW], ${image}[atX], sum);
          atW += p.O;
          atX += p.H * p.W;
        }
      }
    }
  }
  ${result}[p.resultOffset + id.z * p.resultStride + index] = (${
    ["sum", ...added].join(" + ")
  }) / p.outputScale;
}
`;
  return shader.launch({
    kernel: "conv.direct",
    body,
    workgroups: gridOf(O * outH * outW, N),
    ...costOf(sizes),
  });
}

/**
 * dX[n,c,y,x] = Σ_{ky,kx,o} w[ky,kx,c,o]·dY[n,o,i,j] over the (i, j) with stride·i + ky − top = y and
 * stride·j + kx − left = x.
 */
export function directInputGradient<T>(
  sizes: ConvSizes,
  tensors: {
    readonly dY: View<T>;
    readonly weights: T;
    readonly dX: View<T>;
  },
  accumulate = false,
): Launch<T> {
  const { dY, weights, dX } = tensors;
  const { N, C, H, W } = sizes;
  const count = C * H * W;
  const shader = new Shader<T>();
  shader.integers({ ...sizeParams(sizes), count });
  const g = shader.view("dY", 1, dY, "read");
  const w = shader.tensor("w", "f32", weights, "read");
  const out = shader.view("dX", 1, dX, accumulate ? "update" : "write");
  const body = `${HEAD}  let line = index / p.W;
  let c = line / p.H;
  let y = line - c * p.H + p.top;
  let x = index - line * p.W + p.left;
  var sum = 0.0;
  for (var ky = 0u; ky < p.kernel; ky++) {
    for (var kx = 0u; kx < p.kernel; kx++) {
      // Below zero these wrap around, to quotients outside of the output.
      let i = (y - ky) / p.stride;
      let j = (x - kx) / p.stride;
      if (i < p.outH && i * p.stride + ky == y && j < p.outW && j * p.stride + kx == x) {
        var atY = p.dYOffset + id.z * p.dYStride + i * p.outW + j;
        let atW = ((ky * p.kernel + kx) * p.C + c) * p.O;
        for (var o = 0u; o < p.O; o++) {
          sum = fma(${w}[atW + o], ${g}[atY], sum);
          atY += p.P;
        }
      }
    }
  }
  ${out}[p.dXOffset + id.z * p.dXStride + index] ${accumulate ? "+=" : "="} sum;
}
`;
  return shader.launch({
    kernel: "conv.directInputGradient",
    body,
    workgroups: gridOf(count, N),
    ...costOf(sizes),
  });
}

/**
 * dW[ky,kx,c,o] = Σ_{n,i,j} dY[n,o,i,j]·x[n,c, stride·i + ky − top, stride·j + kx − left], written or, with
 * `accumulate`, added.
 */
export function directWeightGradient<T>(
  sizes: ConvSizes,
  tensors: {
    readonly x: View<T>;
    readonly dY: View<T>;
    readonly dWeights: T;
  },
  accumulate = false,
): Launch<T> {
  const { x, dY, dWeights } = tensors;
  const { N, O } = sizes;
  const count = sizes.kernel ** 2 * sizes.C * O;
  const shader = new Shader<T>();
  shader.integers({ ...sizeParams(sizes), N, count });
  const image = shader.view("image", 1, x, "read");
  const g = shader.view("dY", 1, dY, "read");
  const out = shader.tensor("dW", "f32", dWeights, accumulate ? "update" : "write");
  const body = `${HEAD}  let k = index / p.O;
  let o = index - k * p.O;
  let tap = k / p.C;
  let c = k - tap * p.C;
  let ky = tap / p.kernel;
  let kx = tap - ky * p.kernel;
  var sum = 0.0;
  for (var n = 0u; n < p.N; n++) {
    let plane = p.imageOffset + n * p.imageStride + c * p.H * p.W;
    var atY = p.dYOffset + n * p.dYStride + o * p.P;
    for (var i = 0u; i < p.outH; i++) {
      // Below zero these wrap around, to numbers outside of the image.
      let y = i * p.stride + ky - p.top;
      let row = plane + min(y, p.H - 1u) * p.W;
      for (var j = 0u; j < p.outW; j++) {
        let x = j * p.stride + kx - p.left;
        let pixel = ${image}[row + min(x, p.W - 1u)];
        sum = fma(${g}[atY], select(0.0, pixel, y < p.H && x < p.W), sum);
        atY++;
      }
    }
  }
  ${out}[index] ${accumulate ? "+=" : "="} sum;
}
`;
  return shader.launch({
    kernel: "conv.directWeightGradient",
    body,
    workgroups: gridOf(count, 1),
    ...costOf(sizes),
  });
}
