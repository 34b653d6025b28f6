/**
 * What `train --preset` chooses: a network, the images that it is for, and numbers to train it with.
 *
 * @module
 */
import type { UNetConfig } from "../spec/unet_config.ts";
import { CIFAR10, MNIST_CLASSES, MNIST_TINY } from "../spec/unet_presets.ts";

/** A choice of `--preset`. */
export interface TrainPreset {
  readonly network: UNetConfig;
  /** Images without `--data`: the real MNIST, Debian's Fashion-MNIST, or none. */
  readonly images: "mnist" | "fashion" | null;
  /** What a flag is where it is left out. */
  readonly defaults: {
    readonly steps: number;
    readonly batch: number;
    readonly lr: number;
    readonly warmup: number;
    readonly ema: number;
    readonly flip: "on" | "off";
    readonly "save-every": number;
    readonly "sample-every": number;
  };
}

/** A network of 1.5 million parameters, with classes. */
const MNIST: TrainPreset = {
  network: MNIST_CLASSES,
  images: "mnist",
  defaults: {
    ...{ steps: 6500, batch: 16, lr: 1.5e-3, warmup: 200, ema: 0.999, flip: "off" },
    ...{ "save-every": 250, "sample-every": 500 },
  },
};

/** The presets, by name. */
export const PRESETS = {
  tiny: {
    network: MNIST_TINY,
    images: "mnist",
    defaults: {
      ...{ steps: 1000, batch: 8, lr: 3e-3, warmup: 50, ema: 0.99, flip: "off" },
      ...{ "save-every": 100, "sample-every": 250 },
    },
  },
  mnist: MNIST,
  fashion: { ...MNIST, images: "fashion" },
  // Appendix B of the DDPM paper.
  cifar10: {
    network: CIFAR10,
    images: null,
    defaults: {
      ...{ steps: 800_000, batch: 128, lr: 2e-4, warmup: 5000, ema: 0.9999, flip: "on" },
      ...{ "save-every": 1000, "sample-every": 5000 },
    },
  },
} as const satisfies Record<string, TrainPreset>;
