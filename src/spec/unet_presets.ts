/**
 * The U-Nets that this package trains.
 *
 * @module
 */
import { type UNetConfig, unetConfig } from "./unet_config.ts";

/** The conventions of the original DDPM (Ho et al. 2020), where they are not UNet2DModel's defaults. */
const DDPM: Partial<UNetConfig> = {
  freqShift: 1,
  flipSinToCos: false,
  downsamplePadding: 0,
  attentionHeadDim: null,
  normEps: 1e-6,
};

/**
 * The CIFAR-10 model of the DDPM paper (appendix B): 35,746,307 parameters, attention at 16×16,
 * dropout 0.1.
 */
export const CIFAR10: UNetConfig = unetConfig({
  ...DDPM,
  sampleSize: 32,
  downBlockTypes: ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
  upBlockTypes: ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
  blockOutChannels: [128, 256, 256, 256],
  layersPerBlock: 2,
  dropout: 0.1,
});

/** A 28×28 model for the plain reference to train within minutes: 114,705 parameters, attention at 7×7. */
export const MNIST_TINY: UNetConfig = unetConfig({
  ...DDPM,
  sampleSize: 28,
  inChannels: 1,
  outChannels: 1,
  downBlockTypes: ["DownBlock2D", "DownBlock2D", "AttnDownBlock2D"],
  upBlockTypes: ["AttnUpBlock2D", "UpBlock2D", "UpBlock2D"],
  blockOutChannels: [8, 16, 24],
  layersPerBlock: 1,
  normNumGroups: 4,
});

/** A 28×28 model of 1,468,257 parameters, attention at 7×7: most of them where pixels are few. */
export const MNIST: UNetConfig = unetConfig({
  ...DDPM,
  sampleSize: 28,
  inChannels: 1,
  outChannels: 1,
  downBlockTypes: ["DownBlock2D", "DownBlock2D", "AttnDownBlock2D"],
  upBlockTypes: ["AttnUpBlock2D", "UpBlock2D", "UpBlock2D"],
  blockOutChannels: [32, 32, 96],
  layersPerBlock: 1,
  normNumGroups: 8,
});

/** `MNIST` with its digit as a condition: ten classes, and an eleventh that means "no class". */
export const MNIST_CLASSES: UNetConfig = unetConfig({ ...MNIST, numClassEmbeds: 11 });
