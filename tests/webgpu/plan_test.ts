/**
 * Plans of whole networks, walked without a device: what is read was written, what is live stays whole,
 * and nothing depends on the batch but sizes.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../../src/math/errors.ts";
import { type UNetConfig, unetConfig } from "../../src/spec/unet_config.ts";
import { unetModules } from "../../src/spec/unet_modules.ts";
import { CIFAR10, MNIST_CLASSES, MNIST_TINY } from "../../src/spec/unet_presets.ts";
import { MAX_WORKGROUPS } from "../../src/webgpu/kernel.ts";
import {
  aligned,
  ALIGNMENT,
  type BufferName,
  liveMaximum,
  type Phase,
  type Plan,
  type PlannedLaunch,
  type PlanTensor,
} from "../../src/webgpu/plan.ts";
import { samplingPlan } from "../../src/webgpu/sampling_plan.ts";
import { trainingPlan, unetPlan } from "../../src/webgpu/unet_plan.ts";
import { defaultVariants } from "../../src/webgpu/variants.ts";

/** Configs that between them use every kind of module and every way in which conditions enter. */
const CONFIGS: Record<string, { config: UNetConfig; size: [number, number] }> = {
  "CIFAR-10": { config: CIFAR10, size: [32, 32] },
  "MNIST, tiny": { config: MNIST_TINY, size: [28, 28] },
  "MNIST with classes": { config: MNIST_CLASSES, size: [28, 28] },
  "residual resampling, heads, scale and shift": {
    config: unetConfig({
      downBlockTypes: ["ResnetDownsampleBlock2D", "AttnDownBlock2D", "DownBlock2D"],
      upBlockTypes: ["UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"],
      downsampleType: "resnet",
      upsampleType: "resnet",
      blockOutChannels: [12, 18, 24],
      layersPerBlock: 2,
      normNumGroups: 6,
      attentionHeadDim: 6,
      resnetTimeScaleShift: "scale_shift",
      classEmbedType: "timestep",
      midBlockScaleFactor: 1.5,
      outChannels: 6,
    }),
    size: [8, 12],
  },
  "one level, class vectors, dropout, centred": {
    config: unetConfig({
      downBlockTypes: ["AttnDownBlock2D"],
      upBlockTypes: ["AttnUpBlock2D"],
      blockOutChannels: [9],
      layersPerBlock: 1,
      normNumGroups: 3,
      attentionHeadDim: 3,
      classEmbedType: "identity",
      dropout: 0.1,
      centerInputSample: true,
      addAttention: false,
    }),
    size: [5, 7],
  },
};

type AdapterClass = Parameters<typeof defaultVariants>[0];
const CLASSES: readonly AdapterClass[] = ["software", "discrete"];

/** A plan with the tensors that the host writes before a step and reads after it. */
interface Made {
  readonly plan: Plan;
  readonly hostReads: readonly PlanTensor[];
}

const KINDS: Record<
  string,
  (config: UNetConfig, size: [number, number], batch: number, adapter: AdapterClass) => Made
> = {
  forward: (config, [height, width], batch, adapter) => {
    const { plan, output } = unetPlan({
      ...{ config, batch, height, width },
      variants: defaultVariants(adapter),
    });
    return { plan, hostReads: [output.view.tensor] };
  },
  sampling: (config, [height, width], batch, adapter) => {
    const { plan, inputs } = samplingPlan({
      ...{ config, batch, height, width, steps: 3, noisy: true },
      variants: defaultVariants(adapter),
    });
    return { plan, hostReads: [inputs.x.view.tensor] };
  },
  "guided sampling": (config, [height, width], batch, adapter) => {
    const { plan, x, x0 } = samplingPlan({
      ...{ config, batch, height, width, steps: 3, noisy: true, keepX0: true },
      guidance: { scale: 2, rescale: 0.5 },
      variants: defaultVariants(adapter),
    });
    assert(x0 !== null);
    return { plan, hostReads: [x.view.tensor, x0] };
  },
  training: (config, [height, width], batch, adapter) => {
    const made = trainingPlan({
      ...{ config, batch, height, width },
      inputGradient: true,
      variants: defaultVariants(adapter),
    });
    const { plan, loss, losses, norm, gradients, inputGradient } = made;
    assert(inputGradient !== null);
    return { plan, hostReads: [loss, losses, norm, inputGradient, ...gradients.values()] };
  },
  "training in parts": (config, [height, width], batch, adapter) => {
    const made = trainingPlan({
      ...{ config, batch, height, width },
      accumulation: 2,
      variants: defaultVariants(adapter),
    });
    return { plan: made.plan, hostReads: [made.loss, ...made.gradients.values()] };
  },
};

const plans = new Map<string, Made>();

/** Runs `check` on every kind of plan of every config. */
function eachPlan(check: (made: Made, what: string) => void): void {
  for (const [name, { config, size }] of Object.entries(CONFIGS)) {
    for (const [kind, make] of Object.entries(KINDS)) {
      for (const adapter of CLASSES) {
        const what = `${name}, ${kind}, ${adapter}`;
        const made = plans.get(what) ?? make(config, size, 2, adapter);
        plans.set(what, made);
        check(made, what);
      }
    }
  }
}

/** Where a launch is, for messages. */
function at(what: string, { layer, kernel }: PlannedLaunch): string {
  return `${what}: ${kernel} of ${layer}`;
}

/** First and last launch that uses each tensor of the arena. */
function lifetimes(plan: Plan): Map<PlanTensor, [first: number, last: number]> {
  const spans = new Map<PlanTensor, [number, number]>();
  plan.launches.forEach(({ operands }, i) => {
    for (const { tensor } of operands) {
      if (tensor.buffer === "arena") spans.set(tensor, [spans.get(tensor)?.[0] ?? i, i]);
    }
  });
  return spans;
}

Deno.test("tensors of the arena that are live together do not overlap", () => {
  eachPlan(({ plan }, what) => {
    const spans = [...lifetimes(plan)];
    spans.forEach(([a, [firstA, lastA]], i) => {
      for (const [b, [firstB, lastB]] of spans.slice(i + 1)) {
        if (lastA < firstB || lastB < firstA) continue;
        const apart = a.offset + a.size <= b.offset || b.offset + b.size <= a.offset;
        assert(apart, `${what}: ${a.label} and ${b.label}`);
      }
    });
  });
});

Deno.test("the arena is at least what is live at once, and at most 1.2 times that", () => {
  eachPlan(({ plan }, what) => {
    const spans = [...lifetimes(plan)];
    const live = plan.launches.map((_, i) =>
      spans.filter(([, [first, last]]) => first <= i && i <= last)
        .reduce((sum, [{ size }]) => sum + aligned(size), 0)
    );
    const most = Math.max(...live);
    assertEquals(liveMaximum(plan), most, what);
    const ratio = plan.sizes.arena / most;
    assert(ratio >= 1 && ratio <= 1.2, `${what}: ${plan.sizes.arena} is ${ratio} of ${most}`);
  });
});

Deno.test("every tensor lies in its buffer, at an offset that can be bound", () => {
  eachPlan(({ plan }, what) => {
    for (const { label, buffer, offset, size } of plan.tensors) {
      assertEquals(offset % ALIGNMENT, 0, `${what}: ${label}`);
      assert(offset + size <= plan.sizes[buffer], `${what}: ${label}`);
    }
    for (const launch of plan.launches) {
      for (const { tensor: { label, buffer, offset, size } } of launch.operands) {
        assert(size > 0 && offset % ALIGNMENT === 0, `${at(what, launch)}: ${label}`);
        assert(offset + size <= plan.sizes[buffer], `${at(what, launch)}: ${label}`);
      }
    }
  });
});

/** The order in which phases of a first step run. */
const ORDER: readonly Phase[] = ["prepare", "clear", "step", "update"];

/** Buffers that hold something before the first launch: uploaded, or zero as new buffers are. */
const GIVEN: readonly BufferName[] = ["parameters", "moment1", "moment2", "ema", "state"];

/**
 * Whether ranges cover a tensor but for gaps of alignment: the optimiser's ranges hold many layers' tensors,
 * and a layer's tensor may lie in two of those that were cleared.
 */
function isCovered({ buffer, offset, size }: PlanTensor, ranges: Iterable<PlanTensor>): boolean {
  let end = offset;
  for (const range of [...ranges].sort((a, b) => a.offset - b.offset)) {
    if (range.buffer !== buffer || range.offset - end >= ALIGNMENT) continue;
    end = Math.max(end, range.offset + range.size);
  }
  return end + ALIGNMENT > offset + size;
}

Deno.test("everything a launch reads has been written, by the host or by an earlier launch", () => {
  eachPlan(({ plan }, what) => {
    const written = new Set<PlanTensor>();
    const isWritten = (tensor: PlanTensor): boolean => {
      if (written.has(tensor) || GIVEN.includes(tensor.buffer)) return true;
      return tensor.buffer !== "arena" && isCovered(tensor, written);
    };
    for (const phase of ORDER) {
      for (const launch of plan.launches.filter((l) => l.phase === phase)) {
        for (const { tensor, access } of launch.operands) {
          if (access === "write") continue;
          assert(isWritten(tensor), `${at(what, launch)} reads ${tensor.label} before it is there`);
        }
        for (const { tensor, access } of launch.operands) {
          if (access !== "read") written.add(tensor);
        }
      }
    }
  });
});

Deno.test("a tensor of the arena belongs to one phase: nothing in it outlives a submission", () => {
  eachPlan(({ plan }, what) => {
    const phases = new Map<PlanTensor, Phase>();
    for (const launch of plan.launches) {
      for (const { tensor } of launch.operands) {
        if (tensor.buffer !== "arena") continue;
        assertEquals(phases.get(tensor) ?? launch.phase, launch.phase, at(what, launch));
        phases.set(tensor, launch.phase);
      }
    }
  });
});

Deno.test("what the host reads lies outside the arena and is written", () => {
  eachPlan(({ plan, hostReads }, what) => {
    const written = new Set(
      plan.launches.flatMap(({ operands }) =>
        operands.filter(({ access }) => access !== "read").map(({ tensor }) => tensor)
      ),
    );
    for (const tensor of hostReads) {
      assert(tensor.buffer !== "arena", `${what}: ${tensor.label}`);
      assert(written.has(tensor), `${what}: ${tensor.label}`);
    }
  });
});

Deno.test("weights change in the update only, and what is prepared from them in prepare only", () => {
  const allowed: Partial<Record<BufferName, Phase>> = {
    parameters: "update",
    moment1: "update",
    moment2: "update",
    ema: "update",
    prepared: "prepare",
  };
  eachPlan(({ plan }, what) => {
    for (const launch of plan.launches) {
      for (const { tensor, access } of launch.operands) {
        if (access === "read") continue;
        const only = allowed[tensor.buffer];
        assert(only === undefined || only === launch.phase, at(what, launch));
      }
    }
  });
});

Deno.test("no launch binds a tensor twice or two ranges that overlap", () => {
  eachPlan(({ plan }, what) => {
    for (const launch of plan.launches) {
      const tensors = launch.operands.map(({ tensor }) => tensor);
      tensors.forEach((a, i) => {
        for (const b of tensors.slice(i + 1)) {
          const apart = a.buffer !== b.buffer || a.offset + a.size <= b.offset ||
            b.offset + b.size <= a.offset;
          assert(apart, `${at(what, launch)}: ${a.label} and ${b.label}`);
        }
      });
    }
  });
});

Deno.test("launches stay within the grid that WebGPU guarantees", () => {
  eachPlan(({ plan }, what) => {
    for (const launch of plan.launches) {
      for (const size of launch.workgroups) {
        assert(Number.isInteger(size) && size >= 1 && size <= MAX_WORKGROUPS, at(what, launch));
      }
    }
  });
});

/** Layers that write each concatenation: the module before the one that takes it, and its skip's. */
function writersOfConcatenations(config: UNetConfig): Map<string, string[]> {
  const modules = unetModules(config);
  const skips = ["conv_in"], writers = new Map<string, string[]>();
  modules.forEach(({ name, takesSkip, leavesSkip }, k) => {
    if (takesSkip) {
      writers.set(`${name} input`, [modules[k - 1].name, skips.pop() as string].sort());
    }
    if (leavesSkip) skips.push(name);
  });
  return writers;
}

Deno.test("a concatenation is written by the two layers it joins, in full before it is read", () => {
  for (const [name, { config, size }] of Object.entries(CONFIGS)) {
    const { plan } = KINDS.forward(config, size, 2, "software");
    const expected = writersOfConcatenations(config);
    for (const [label, writers] of expected) {
      const tensor = plan.tensors.find((t) => t.label === label);
      assert(tensor !== undefined, `${name}: ${label}`);
      const uses = plan.launches.flatMap(({ layer, operands }) =>
        operands.filter((o) => o.tensor === tensor).map(({ access }) => ({ layer, access }))
      );
      const found = uses.filter(({ access }) => access === "write").map(({ layer }) => layer);
      assertEquals(found.sort(), writers, `${name}: ${label}`);
      // The layer that takes it reads it after both; a writer may read its own part on the way.
      const consumer = label.slice(0, -" input".length);
      const firstRead = uses.findIndex(({ layer }) => layer === consumer);
      assertEquals(uses.findLastIndex(({ access }) => access === "write") < firstRead, true, label);
    }
  }
});

/** A kernel without what only says how its work is cut up. */
function algorithm({ kernel }: PlannedLaunch): string {
  return kernel.startsWith("gemm.") ? "gemm" : kernel;
}

Deno.test("every layer runs the same kernels whatever the batch", () => {
  for (const [name, { config, size }] of Object.entries(CONFIGS)) {
    for (const [kind, make] of Object.entries(KINDS)) {
      for (const adapter of CLASSES) {
        const listed = (batch: number): string[] =>
          make(config, size, batch, adapter).plan.launches.map((l) => `${l.layer} ${algorithm(l)}`);
        const one = listed(1);
        for (const batch of [2, 5]) assertEquals(listed(batch), one, `${name}, ${kind}, ${batch}`);
      }
    }
  }
});

Deno.test("plans refuse images that cannot be halved as often as the network does", () => {
  for (const make of Object.values(KINDS)) {
    for (const size of [[30, 32], [32, 20]] as [number, number][]) {
      const error = assertThrows(() => make(CIFAR10, size, 1, "software"), ArgumentError);
      assert(error.message.includes(`multiples of 8 but got ${size[0]} and ${size[1]}`));
    }
  }
});
