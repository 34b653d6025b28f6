/** TensorFlow.js on WebAssembly, as a worker. */
import { serveTfjs } from "./tfjs.ts";

serveTfjs("wasm");
