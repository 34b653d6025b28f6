/** TensorFlow.js on WebGPU, as a worker. */
import { serveTfjs } from "./tfjs.ts";

serveTfjs("webgpu");
