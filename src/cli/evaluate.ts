/**
 * `evaluate`: measures a model by its samples and its likelihood.
 *
 * @module
 */
import { loadMnist } from "../data/mnist.ts";
import { writeAtomic } from "../data/write_atomic.ts";
import {
  accuracyOf,
  boundInBits,
  CLASSES,
  CLASSIFIER_IMAGE,
  decodeClassifier,
  decodeSamples,
  encodeClassifier,
  encodeSamples,
  judge,
  qualityOf,
  realImages,
  type Report,
  reportText,
  type Samples,
  samplesOf,
  samplesOfDataset,
  type SampleSource,
  someOf,
  trainClassifier,
} from "../evaluate/mod.ts";
import { shapesEqual } from "../math/tensor.ts";
import { createSchedule } from "../reference/schedule.ts";
import type { Checkpoint } from "../spec/checkpoint.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { type Backend, compileText } from "./backend.ts";
import { openBackend } from "./device_flags.ts";
import { checkEvaluateFlags, EVALUATE, type EvaluateFlags } from "./evaluate_flags.ts";
import { helpText, parseFlags } from "./flags.ts";
import { readModel } from "./read_model.ts";
import { allClasses, DEFAULT_GUIDANCE, type SamplingOptions, samplingProcess } from "./sampling.ts";
import {
  duration,
  EXIT,
  FailureError,
  note,
  ProgressLine,
  runCommand,
  say,
  UsageError,
} from "./terminal.ts";

/** Runs `evaluate` with its arguments; returns the exit code. */
export async function evaluate(args: readonly string[]): Promise<number> {
  const { help, values, given } = parseFlags(EVALUATE, args);
  if (help) {
    say(helpText(EVALUATE));
    return EXIT.success;
  }
  checkEvaluateFlags(values, given);
  if (values["train-classifier"]) return await trainAndWrite(values);
  const report = await evaluated(values);
  if (values.out !== undefined) {
    await writeAtomic(values.out, `${JSON.stringify(report, null, 2)}\n`);
  }
  say(values.json ? JSON.stringify(report) : reportText(report));
  return EXIT.success;
}

async function evaluated(values: EvaluateFlags): Promise<Report> {
  const judged = values.samples !== undefined || values.count > 0;
  // Before the long part: what cannot be read is told at once.
  const classifier = judged ? await readClassifier(values.classifier) : null;
  const given = values.samples === undefined ? null : await readSamples(values.samples);
  const model = given === null || values.bits > 0 ? await readModel(values.checkpoint) : null;
  const backend = model === null ? null : await openBackend(values);
  try {
    const drawn = given === null && values.count > 0 && model !== null && backend !== null
      ? await drawSamples(values, model.checkpoint, backend)
      : null;
    const set = given === null ? drawn : { samples: given, source: { file: values.samples! } };
    return {
      model: model && { file: model.file, step: model.checkpoint.step },
      device: backend && backend.device,
      adapter: backend && backend.adapter,
      samples: set && classifier && await judgeSamples(values, classifier, set),
      bits: values.bits > 0 && model !== null && backend !== null
        ? await countBits(values, model.checkpoint, backend)
        : null,
    };
  } finally {
    backend?.close();
  }
}

async function readClassifier(file: string): Promise<Parameters> {
  return decodeClassifier(await readFile(file, "a classifier"), file);
}

async function readSamples(file: string): Promise<Samples> {
  const samples = decodeSamples(await readFile(file, "samples"), file);
  if (samples.count < 4 || samples.count > 60_000) {
    throw new FailureError(`Expected 4 to 60000 images in ${file} but got ${samples.count}`);
  }
  return samples;
}

async function readFile(file: string, what: string): Promise<Uint8Array> {
  try {
    return await Deno.readFile(file);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new FailureError(`Expected ${what} in ${file} but there is no such file`);
  }
}

async function drawSamples(
  values: EvaluateFlags,
  { unet, schedule, ema, prediction }: Checkpoint,
  backend: Backend,
): Promise<{ samples: Samples; source: SampleSource }> {
  const { sampler, steps, eta, variance, seed, count, batch } = values;
  const { guidance: scale, "guidance-rescale": rescale } = values;
  const classes = allClasses(unet);
  if (classes === null && scale !== undefined) {
    throw new UsageError("Expected --guidance only with a model that takes classes");
  }
  if (classes !== null && classes.length > CLASSES) {
    throw new FailureError(`Expected a model of ${CLASSES} classes but got ${classes.length}`);
  }
  const guidance = classes === null ? null : { scale: scale ?? DEFAULT_GUIDANCE, rescale };
  const options: SamplingOptions = {
    ...{ sampler, steps, eta, variance, seed, count, batch, classes, guidance, prediction },
    ...{ spacing: "trailing", clip: "static", first: 0 },
  };
  const { imageShape } = samplingProcess(unet, schedule, options);
  if (!shapesEqual(imageShape, CLASSIFIER_IMAGE)) {
    throw new FailureError(
      `Expected a model of images [${CLASSIFIER_IMAGE.join(", ")}] but got [${
        imageShape.join(", ")
      }]`,
    );
  }
  const progress = new ProgressLine();
  const start = performance.now();
  const images = await backend.sampleImages(unet, ema, schedule, options, {
    onCompile: (compiling) => progress.update(compileText(compiling)),
    onShare: (share) => progress.update(shareText("sampling", share, start)),
  });
  progress.finish();
  const seconds = (performance.now() - start) / 1000;
  const samples = samplesOf(images, classes);
  if (values.save !== undefined) await writeAtomic(values.save, encodeSamples(samples));
  return {
    samples,
    source: {
      ...{ sampler, steps, seed, seconds },
      variance: sampler === "ddpm" ? variance : null,
      eta: sampler === "ddim" ? eta : null,
      guidance: guidance?.scale ?? null,
      guidanceRescale: guidance?.rescale ?? null,
    },
  };
}

async function judgeSamples(
  { classifier: file, data }: EvaluateFlags,
  classifier: Parameters,
  { samples, source }: { samples: Samples; source: SampleSource },
): Promise<Report["samples"]> {
  const { labels, ...images } = await loadMnist("test", data);
  const test = samplesOfDataset({ ...images, labels });
  const training = someOf(samplesOfDataset(await loadMnist("train", data)), samples.count);
  const progress = new ProgressLine();
  const all = test.count + samples.count + training.count;
  let before = 0;
  const judged = async (set: Samples) => {
    const found = await judge(classifier, set, (done) => {
      progress.update(`judging: ${before + done} of ${all} images`);
    });
    before += set.count;
    return found;
  };
  const ofTest = await judged(test);
  const [ofSamples, ofTraining] = [await judged(samples), await judged(training)];
  progress.update("comparing features");
  const real = realImages(ofTest);
  const figures = qualityOf(real, ofSamples, samples.labels);
  const floor = qualityOf(real, ofTraining, training.labels);
  progress.finish();
  return {
    source,
    count: samples.count,
    classifier: { file, testAccuracy: accuracyOf(ofTest.predicted, labels).share },
    figures,
    training: floor,
  };
}

async function countBits(
  { bits: images, "bits-every": every, batch, variance, data }: EvaluateFlags,
  { unet, schedule, ema, prediction }: Checkpoint,
  backend: Backend,
): Promise<Report["bits"]> {
  const test = await loadMnist("test", data);
  const conditional = allClasses(unet) !== null;
  const progress = new ProgressLine();
  const predictor = await backend.predictor(
    unet,
    Math.min(batch, images),
    (compiling) => progress.update(compileText(compiling)),
  );
  const start = performance.now();
  const bound = await boundInBits(
    (xt, times, classes) => predictor.predict(ema, xt, times, conditional ? classes : undefined),
    createSchedule(schedule),
    test,
    { images, every, batch, variance, prediction },
    (done) => progress.update(shareText("counting bits", done / images, start)),
  );
  predictor.close();
  progress.finish();
  return { ...bound, images, every, variance, conditional };
}

function shareText(what: string, share: number, start: number): string {
  const elapsed = (performance.now() - start) / 1000;
  return `${what}: ${Math.round(100 * share)} %  ${duration((1 / share - 1) * elapsed)} left`;
}

async function trainAndWrite(
  { data, classifier: file, seed, epochs }: EvaluateFlags,
): Promise<number> {
  const train = await loadMnist("train", data);
  const test = await loadMnist("test", data);
  const training = { seed, epochs };
  const progress = new ProgressLine();
  const start = performance.now();
  const write = (average: Parameters) => writeAtomic(file, encodeClassifier(average, training));
  await trainClassifier(train, training, {
    onStep: (step, steps, loss) =>
      progress.update(`${shareText("training", step / steps, start)}  loss ${loss.toFixed(4)}`),
    onEpoch: async (epoch, average) => {
      const { predicted } = await judge(average, samplesOfDataset(test));
      const { share } = accuracyOf(predicted, test.labels);
      progress.finish();
      note(`epoch ${epoch}: ${(100 * share).toFixed(2)} % of the test images recognised`);
      await write(average);
    },
  });
  say(file);
  return EXIT.success;
}

if (import.meta.main) Deno.exit(await runCommand(evaluate, Deno.args));
