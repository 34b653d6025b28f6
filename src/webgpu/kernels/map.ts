/**
 * Kernels whose results depend on one element of each input.
 *
 * @module
 */
import { type Access, type Launch, linearGrid, type View } from "../kernel.ts";
import { kernelName, Shader, type Variant, vectorType, viewsWidth, type Width } from "./layout.ts";

/** Sizes of arrays `[N, …]`. */
export interface MapSizes {
  readonly N: number;
  /** Elements per sample: C·H·W. */
  readonly D: number;
}

/** An elementwise kernel in WGSL. */
export interface MapKernel<T> {
  readonly kernel: string;
  /** Arrays that are read, by the name that `value` calls their elements. */
  readonly inputs: Readonly<Record<string, View<T>>>;
  readonly output: View<T>;
  /** Parameters of type f32, by the name that `value` uses as `p.name`. */
  readonly floats?: Readonly<Record<string, number>>;
  /** WGSL expression of an output element in terms of the inputs and, if it is updated, of `old`. */
  readonly value: string;
  /** Whether `value` depends on what the output held. */
  readonly updates?: boolean;
  /** WGSL functions that `value` calls, for vectors of a width. */
  readonly functions?: (width: Width) => string;
  /** Operations per element. */
  readonly flops: number;
}

const WORKGROUP = 64;
/** Most elements (vectors) per invocation: enough that starting a workgroup costs little beside its work. */
const MOST_PER_INVOCATION = 8;

/** The launch of an elementwise kernel: `naive`, one invocation per element, else several vectors. */
export function map<T>(variant: Variant, { N, D }: MapSizes, kernel: MapKernel<T>): Launch<T> {
  const { inputs, output, floats = {}, value, updates = false, functions, flops } = kernel;
  const width = viewsWidth(variant, D, [...Object.values(inputs), output]);
  const type = vectorType(width);
  const count = D / width;
  const perInvocation = variant === "naive"
    ? 1
    : Math.min(MOST_PER_INVOCATION, Math.ceil(count / WORKGROUP));
  const perWorkgroup = WORKGROUP * perInvocation;
  const shader = new Shader<T>();
  shader.integers({ count, perWorkgroup });
  const reads = Object.entries(inputs).map(([name, view]) => {
    const tensor = shader.view(`${name}Data`, width, view, "read");
    return `let ${name} = ${tensor}[p.${name}DataOffset + id.z * p.${name}DataStride + i];`;
  });
  const access: Access = updates ? "update" : "write";
  const outputData = shader.view("outputData", width, output, access);
  const at = "p.outputDataOffset + id.z * p.outputDataStride + i";
  shader.floats(floats);
  const body = `
alias V = ${type};
${functions?.(width) ?? ""}
@compute @workgroup_size(${WORKGROUP})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let start = (id.x + id.y * grid.x) * p.perWorkgroup;
  let end = min(start + p.perWorkgroup, p.count);
  for (var i = start + lane; i < end; i += ${WORKGROUP}u) {
    ${reads.join("\n    ")}
    ${updates ? `let old = ${outputData}[${at}];` : ""}
    ${outputData}[${at}] = ${value};
  }
}
`;
  const [x, y] = linearGrid(Math.ceil(count / perWorkgroup));
  return shader.launch({
    kernel: kernelName(kernel.kernel, variant, width),
    body,
    workgroups: [x, y, N],
    flops: flops * N * D,
    bytes: 4 * N * D * (reads.length + (updates ? 2 : 1)),
  });
}
