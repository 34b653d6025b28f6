import type { Case } from "./case.ts";

const { sqrt, log, sin, cos } = Math;

/** Random numbers. */
export function randomCases(): Case[] {
  /** The published known answer of Philox 4x32-10 for counter and key zero. */
  const words = [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8];
  const unit = (high: number, low: number) => (high * 2 ** 20 + (low >>> 12) + 0.5) / 2 ** 52;
  const radius = sqrt(-2 * log(unit(words[0], words[1])));
  const angle = 2 * Math.PI * unit(words[2], words[3]);
  const zero = { seed: 0, stream: 0 };
  return [
    {
      name: "the published known answer",
      request: { op: "random_bits", ...zero, index: 0, count: 4 },
      expected: { integers: words },
    },
    {
      name: "a part of it",
      request: { op: "random_bits", ...zero, index: 1, count: 2 },
      expected: { integers: words.slice(1, 3) },
    },
    {
      name: "no numbers at all",
      request: { op: "random_bits", seed: 2 ** 53 - 1, stream: 2 ** 53 - 1, index: 0, count: 0 },
      expected: { integers: [] },
    },
    {
      name: "two normals",
      request: { op: "normal", ...zero, index: 0, count: 2 },
      expected: { values: [radius * cos(angle), radius * sin(angle)] },
    },
    {
      name: "the second normal alone",
      request: { op: "normal", ...zero, index: 1, count: 1 },
      expected: { values: [radius * sin(angle)] },
    },
  ];
}
