/**
 * The verdicts on published implementations as a document.
 *
 * @module
 */
import type { Failure, OpReport } from "../oracle/verify/mod.ts";
import type { Deviation, OpFindings } from "./deviations.ts";

/** An implementation and how it is started. */
export interface Subject {
  /** The heading of its section. */
  readonly title: string;
  /** What a reader has to know of the configuration. */
  readonly about: string;
  /** The adapter and its flags, after the Python of the environment. */
  readonly adapter: readonly string[];
  /** Environment variables of the adapter, relative to the environment's packages. */
  readonly env: Readonly<Record<string, string>>;
  /** Operations to verify; all that it has if null. */
  readonly ops: readonly string[] | null;
  /** What its source says of the deviations, read by hand. */
  readonly reading: readonly string[];
}

/** What happens to DDIM with η = 1 in float32 after zero terminal SNR. */
const SIGMA =
  "With η = 1, 1 − ᾱ_prev − σ² is 0 where ᾱ_t is 0. `DDIMScheduler.step` takes the root " +
  "of what float32 makes of it, which may be below 0.";

/** The implementations whose verdicts are published. */
export const SUBJECTS: readonly Subject[] = [
  {
    title: "diffusers",
    about: "DDPMScheduler, DDIMScheduler, DDIMInverseScheduler and DPMSolverMultistepScheduler, " +
      "classifier-free guidance, time embedding and EMA. DDIM with the default spacing, `leading`.",
    adapter: ["adapters/diffusers_schedulers.py"],
    env: {},
    ops: null,
    reading: [
      "`DDPMScheduler._get_variance` clamps β̃ to 1e-20 so that its logarithm is finite; the DDPM " +
      "code takes the second step's instead. No noise is added at time 1, where it would show.",
      "Trailing times come from `np.arange(T, 0, -T/N)`, whose floating-point steps give one " +
      "time too many for some N. It becomes −1, the last entry of ᾱ. `np.linspace` likewise puts " +
      "ties on the wrong side.",
      'With `variance_type="learned"` the network\'s output is taken for the variance, and its ' +
      "root is not a number where it is negative; the DDPM code takes it for the logarithm.",
      "`DDPMScheduler.step` leaves noise out where t is 0, and not where the step is the last: a " +
      "run that ends at a later time gets noise in its last step.",
      SIGMA,
      "After zero terminal SNR, `DPMSolverMultistepScheduler` sets ᾱ_T to 2⁻²⁴ instead of 0, so " +
      "that λ is finite there.",
    ],
  },
  ...["trailing", "linspace"].map((spacing): Subject => ({
    title: `diffusers, DDIM with ${spacing} spacing`,
    about: `DDIMScheduler with \`timestep_spacing="${spacing}"\`; the rest is as above.`,
    adapter: ["adapters/diffusers_schedulers.py", "--spacing", spacing],
    env: {},
    ops: ["ddim_step"],
    reading: [
      "`DDIMScheduler.step` goes to t − ⌊T/N⌋ whatever its list of times says next. Only " +
      "`leading` lists are always spaced by that.",
      SIGMA,
    ],
  })),
  {
    title: "improved-diffusion",
    about: "GaussianDiffusion, SpacedDiffusion and the losses, as the package " +
      "improved-diffusion-for-smlm carries them: a copy with options added. OpenAI publishes no " +
      "package; `GAUSSIAN_DIFFUSION` names a checkout of theirs instead.",
    adapter: ["adapters/gaussian_diffusion.py"],
    env: { GAUSSIAN_DIFFUSION: "improved_diffusion_for_SMLM/improved_diffusion" },
    ops: null,
    reading: [
      "`space_timesteps` tries strides below T only: a single step, of stride T, is refused.",
      "ε is derived from x̂_0 by way of √(1/ᾱ), which is not finite where ᾱ is 0.",
    ],
  },
];

/** What was found of a subject. */
export interface SubjectFindings {
  /** The subject. */
  readonly subject: Subject;
  /** How the candidate calls itself, with versions. */
  readonly candidate: string;
  /** By operation. */
  readonly ops: readonly OpFindings[];
}

const INTRODUCTION = `# Verdicts on published implementations

What \`deno task verify\` finds in libraries that people train and sample with, without being told
where to look. Each is asked through an adapter in [adapters](../adapters) that changes nothing of
it. A deviation is an answer that rounding in float32 does not explain
([verify.md](verify.md), "Bounds"). It need not be a mistake: where the literature has several
conventions, the reference has the one in [conventions.md](conventions.md), and a library with
another deviates. It says that numbers differ, with which options, and by how much.

When a deviation is found, requests with its options are left out and the rest is verified again, so
that one does not hide another; in \`schedule\`, a first entry that deviates is left out by itself.
Requests counts those of the last round, in which nothing was found any more. What an adapter does
not ask for is not judged: [verify.md](verify.md), "not covered".

This file is written by \`deno task interop --verdicts\`.
`;

function shown(value: number | null): string {
  if (value === null) return "no number";
  const text = String(value);
  return text.length > 12 && Number.isFinite(value) ? value.toPrecision(6) : text;
}

/** Options as "variance learned; prediction epsilon, x0". Those that say nothing are left out. */
function optionsText(options: Deviation["options"]): string {
  const names = [...new Set(options.flatMap(Object.keys))];
  return names.map((name) => {
    const values = [...new Set(options.map((option) => option[name] ?? "above 0"))];
    const either = (name === "process" || name === "ᾱ_T") && values.length > 1;
    return either || (values.length === 1 && values[0] === "whole")
      ? ""
      : `${name} ${values.join(", ")}`;
  }).filter((text) => text !== "").join("; ");
}

function whatText({ message, cause, field, index, expected, got, bound }: Failure): string {
  const where = field === null ? "" : index === null ? field : `${field}[${index}]`;
  const numbers = field === null
    ? message
    : `\`${where}\` is ${shown(got)}, expected ${shown(expected)} within ${shown(bound)}`;
  return cause === null ? numbers : `${numbers}. Likely: ${cause}`;
}

/** A shell argument in single quotes. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function replayText(request: unknown, { adapter, env }: Subject, venv: string): string {
  const variables = Object.entries(env).map(([name, value]) => `${name}=…/${value} `).join("");
  return `${variables}deno task verify --replay ${
    quoted(JSON.stringify(request))
  } -- ${venv}/bin/python ${adapter.join(" ")}`;
}

function verdictOf({ rest, deviations }: OpFindings): string {
  if (rest.failure !== null) return "deviates, perhaps in more ways than are listed";
  if (deviations.length === 0) return rest.verdict;
  return rest.requests > 0 ? "deviates; otherwise conforms" : "deviates";
}

function row(findings: OpFindings): string {
  const { op, requests, worst }: OpReport = findings.rest;
  const error = requests === 0 ? "" : worst.toPrecision(2);
  return `| \`${op}\` | ${verdictOf(findings)} | ${requests} | ${error} |`;
}

function section({ subject, candidate, ops }: SubjectFindings, venv: string): string {
  const lines = [
    `## ${subject.title}`,
    "",
    `${candidate}. ${subject.about}`,
    "",
    "| operation | verdict | requests | worst error / bound |",
    "| --- | --- | --- | --- |",
    ...ops.map(row),
  ];
  for (const { rest, deviations } of ops) {
    for (const { failure, options } of deviations) {
      const with_ = optionsText(options);
      lines.push(
        "",
        `**${rest.op}**${with_ === "" ? "" : ` (${with_})`}: ${whatText(failure)}.`,
        "",
        "```sh",
        replayText(failure.request, subject, venv),
        "```",
      );
    }
  }
  if (ops.some(({ deviations }) => deviations.length > 0)) {
    lines.push("", "In its source:", "", ...subject.reading.map((text) => `- ${text}`));
  }
  return lines.join("\n");
}

/** The document. */
export function verdictsText(
  findings: readonly SubjectFindings[],
  venv: string,
  runs: number,
  seed: number,
): string {
  const drawn = `${runs} requests per operation and round are drawn with seed ${seed}, in float32.`;
  const sections = findings.map((one) => section(one, venv));
  return `${[INTRODUCTION.trimEnd(), drawn, ...sections].join("\n\n")}\n`;
}
