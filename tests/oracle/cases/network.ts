import { TINY_UNET } from "../../support/oracle_session.ts";
import { type Case, tensor } from "./case.ts";

const { sin, cos } = Math;

/** The time embedding and the whole network. */
export function networkCases(): Case[] {
  return [
    {
      name: "a sin-cos embedding over half − 1",
      request: {
        op: "time_embedding",
        timesteps: [0, 2],
        dim: 5,
        order: "sinCos",
        shift: 1,
        maxPeriod: 100,
      },
      expected: {
        embedding: tensor([2, 5], [0, 0, 1, 1, 0, sin(2), sin(0.02), cos(2), cos(0.02), 0]),
      },
    },
    {
      name: "a cos-sin embedding over half",
      request: {
        op: "time_embedding",
        timesteps: 2,
        dim: 4,
        order: "cosSin",
        shift: 0,
        maxPeriod: 100,
      },
      expected: { embedding: tensor([1, 4], [cos(2), cos(0.2), sin(2), sin(0.2)]) },
    },
    {
      name: "a new U-Net, whose last convolution is zero",
      request: {
        op: "unet",
        config: TINY_UNET,
        weights: "fresh.safetensors",
        x: tensor([1, 1, 1, 2], [0.5, 2]),
        timesteps: 3,
        target: tensor([1, 1, 1, 2], [0.5, 1]),
        out: "out.safetensors",
      },
      expected: { output: tensor([1, 1, 1, 2], [0, 0]), loss: 0.625 },
    },
  ];
}
