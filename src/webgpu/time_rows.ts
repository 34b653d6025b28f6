/**
 * The sinusoidal embedding of times, made on the host in double and uploaded.
 *
 * @module
 */
import type { UNetConfig } from "../spec/unet_config.ts";

/** As in the DDPM code and everywhere since. */
const MAX_PERIOD = 10000;

/**
 * Rows `[N, C]` of sin and cos of time·maxPeriod^(−i/(half − freqShift)) in the config's order, rounded
 * once to float32 (Vaswani et al. 2017, section 3.5, as in Ho et al. 2020).
 *
 * @param timesteps as the network gets them: 0..T − 1.
 */
export function timeRows(
  config: UNetConfig,
  timesteps: readonly number[],
): Float32Array<ArrayBuffer> {
  const dim = config.blockOutChannels[0];
  const half = Math.floor(dim / 2);
  const rows = new Float32Array(timesteps.length * dim);
  const [sinAt, cosAt] = config.flipSinToCos ? [half, 0] : [0, half];
  for (let i = 0; i < half; i++) {
    const frequency = Math.exp(-Math.log(MAX_PERIOD) * i / (half - config.freqShift));
    timesteps.forEach((t, n) => {
      rows[n * dim + sinAt + i] = Math.sin(t * frequency);
      rows[n * dim + cosAt + i] = Math.cos(t * frequency);
    });
  }
  return rows;
}
