// A sercli student in a browser: the same windows, calibration and decision as `sercli predict`, in onnxruntime-web.

import * as ort from "./ort/ort.wasm.bundle.min.mjs";

ort.env.wasm.wasmPaths = { wasm: new URL("./ort/ort-wasm-simd-threaded.wasm", import.meta.url).href };
ort.env.wasm.numThreads = 1;  // a student needs no more, and threads would ask the server for special headers

const FRAME_SAMPLES = 800;  // 50 ms at 16 kHz
const SILENCE_DBFS = -60;   // of the loudest 50 ms: below it there is nothing to label

/** Load a student bundle; `folder` is its address, with config.json and model.onnx (or model.int8.onnx). */
export async function load(folder, graph = "model.onnx") {
  const read = async (name) => {
    const answer = await fetch(`${folder}/${name}`);
    if (!answer.ok) throw new Error(`${folder}/${name}: HTTP ${answer.status}; copy a student bundle there`);
    return answer;
  };
  const config = await (await read("config.json")).json();
  if (config.format !== 1) throw new Error(`${folder}: a bundle of format ${config.format}, this page reads 1`);
  const session = await ort.InferenceSession.create(await (await read(graph)).arrayBuffer());
  return { config, predict: (signal) => predict(session, config, signal) };
}

/** Decode a file (ArrayBuffer) to mono at the student's rate, a Float32Array; the browser resamples. */
export async function decode(bytes, rate = 16000) {
  const audio = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
  const signal = new Float32Array(audio.length);
  for (let channel = 0; channel < audio.numberOfChannels; channel++)
    audio.getChannelData(channel).forEach((value, at) => { signal[at] += value / audio.numberOfChannels; });
  return signal;
}

/** Label a recording: { label, score, scores, seconds }; `label` is "uncertain" below the threshold, "" for silence. */
async function predict(session, config, signal) {
  const part = Math.round(config.clip_seconds * config.sample_rate), sums = new Array(config.labels.length).fill(0);
  let heard = 0;
  for (let start = 0; start < signal.length; start += part) {
    const clip = signal.subarray(start, start + part);
    if (loudest(clip) < SILENCE_DBFS) continue;
    const probabilities = await run(session, config, clip);
    probabilities.forEach((value, at) => { sums[at] += value * clip.length; });  // a longer part counts more
    heard += clip.length;
  }
  const seconds = signal.length / config.sample_rate;
  if (!heard) return { label: "", score: 0, scores: {}, seconds };
  const scores = Object.fromEntries(config.labels.map((label, at) => [label, sums[at] / heard]));
  const [best, score] = Object.entries(scores).reduce((one, other) => (other[1] > one[1] ? other : one));
  return { label: score < config.abstain_threshold ? "uncertain" : best, score, scores, seconds };
}

/** One run of the network: calibrated probabilities. */
async function run(session, config, clip) {
  const padded = new Float32Array(Math.max(clip.length, Math.round(config.min_seconds * config.sample_rate)));
  padded.set(clip);
  const { logits } = await session.run({
    waveform: new ort.Tensor("float32", padded, [1, padded.length]),
    lengths: new ort.Tensor("int64", BigInt64Array.of(BigInt(clip.length)), [1]),
  }, ["logits"]);
  const scaled = [...logits.data].map((value) => value / config.temperature), most = Math.max(...scaled);
  const powers = scaled.map((value) => Math.exp(value - most)), sum = powers.reduce((one, other) => one + other);
  return powers.map((value) => value / sum);
}

/** Level of the loudest 50 ms, in dB of full scale. */
function loudest(clip) {
  let most = 0;
  for (let start = 0; start < clip.length; start += FRAME_SAMPLES) {
    const frame = clip.subarray(start, start + FRAME_SAMPLES);
    if (start && frame.length < FRAME_SAMPLES / 2) break;  // too short a rest to count by itself
    most = Math.max(most, frame.reduce((sum, value) => sum + value * value, 0) / frame.length);
  }
  return 10 * Math.log10(most);
}
