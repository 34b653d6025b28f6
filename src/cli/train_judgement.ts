/**
 * How a training run is judged at its end.
 *
 * @module
 */
import type { ImageDataset } from "../data/image_dataset.ts";
import type { Schedule } from "../reference/schedule.ts";
import type { Checkpoint } from "../spec/checkpoint.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { type Backend, compileText, type Compiling } from "./backend.ts";
import { HELD_OUT_BATCH, heldOutLoss } from "./held_out.ts";
import type { HeldOutMetric } from "./metrics.ts";
import { ProgressLine } from "./terminal.ts";

/** L_simple on test images, of the weights and of their average. */
export async function judge(
  backend: Backend,
  { unet: config, training, ema, step, prediction }: Checkpoint,
  schedule: Schedule,
  test: ImageDataset,
  count: number,
): Promise<HeldOutMetric> {
  const images = Math.min(count, test.count);
  const progress = new ProgressLine();
  const onCompile = (compiling: Compiling) => progress.update(compileText(compiling));
  const predictor = await backend.predictor(config, HELD_OUT_BATCH, onCompile);
  const conditional = config.numClassEmbeds !== null;
  const lossOf = (name: string, parameters: Parameters) =>
    heldOutLoss(
      (xt, times, classes) =>
        predictor.predict(parameters, xt, times, conditional ? classes : undefined),
      schedule,
      test,
      images,
      (done) => progress.update(`held-out loss of ${name}: ${done}/${images} images`),
      prediction,
    );
  const raw = await lossOf("the weights", training?.model ?? ema);
  const averaged = await lossOf("their average", ema);
  predictor.close();
  progress.finish();
  return { kind: "heldOut", step, images, raw, ema: averaged };
}
