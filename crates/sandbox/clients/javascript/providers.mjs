// Asks the sandbox with the providers' own packages: providers.mjs STEP [FILE].
//
// Prints what came as one line of JSON. Where the sandbox is and which key it takes is in the
// environment, under the names of Talkback's own settings.

import { AssemblyAI } from "assemblyai";
import OpenAI from "openai";

const RATE = 16_000;
const { env } = process;

const stt = new AssemblyAI({
  apiKey: env.ASSEMBLYAI_API_KEY,
  baseUrl: env.ASSEMBLYAI_API_URL,
  syncBaseUrl: env.ASSEMBLYAI_SYNC_URL,
  // Its package appends /v1 itself.
  llmGatewayBaseUrl: env.ASSEMBLYAI_LLM_GATEWAY_URL.replace(/\/v1$/, ""),
});

/** Something loud enough to be taken for speech: two tones, 16 bit. */
function speech(milliseconds) {
  const samples = Int16Array.from({ length: (RATE * milliseconds) / 1000 }, (_, n) =>
    Math.trunc(9000 * (Math.sin(n * 0.12) + Math.sin(n * 0.31))),
  );
  return new Uint8Array(samples.buffer);
}

const silence = (milliseconds) => new Uint8Array((2 * RATE * milliseconds) / 1000);

async function prerecorded(path) {
  const heard = await stt.transcripts.transcribe(
    {
      audio: path,
      speech_models: ["assemblyai-stt-3-7", "universal-2"],
      language_detection: true,
    },
    { pollingInterval: 50 },
  );
  const deleted = await stt.transcripts.delete(heard.id);
  return {
    status: heard.status,
    text: heard.text,
    words: heard.words.length,
    model: heard.speech_model_used,
    deleted: deleted.text,
  };
}

async function sync() {
  const config = {
    sample_rate: RATE,
    channels: 1,
    timestamps: true,
    language_codes: ["en"],
    keyterms_prompt: ["Talkback"],
    conversation_context: ["Good morning."],
  };
  const heard = await stt.sync.transcribe(speech(1000), config);
  async function* pieces() {
    for (let n = 0; n < 12; n += 1) yield speech(100);
  }
  const live = await stt.sync.transcribeLive(pieces(), config);
  const code = await stt.sync.transcribe(speech(20), config).then(
    () => null,
    (error) => error.errorCode ?? error.error_code,
  );
  return {
    text: heard.text,
    ms: heard.audio_duration_ms,
    timed: heard.words[0].end !== undefined,
    live: live.text,
    live_ms: live.audio_duration_ms,
    code,
  };
}

async function streaming() {
  const client = stt.streaming.transcriber({
    websocketBaseUrl: `${env.ASSEMBLYAI_STREAMING_URL.replace(/^ws:/, "wss:")}/v3/ws`,
    sampleRate: RATE,
    speechModel: "universal-3-6-pro",
    formatTurns: true,
  });
  // The package insists on TLS, which the sandbox does not have here.
  const secure = client.connectionUrl.bind(client);
  client.connectionUrl = () => Object.assign(secure(), { protocol: "ws:" });
  const turns = [];
  const over = new Promise((resolve, reject) => {
    client.on("turn", (turn) => {
      if (!turn.end_of_turn) return;
      turns.push(turn.transcript);
      resolve();
    });
    client.on("error", reject);
    setTimeout(() => reject(new Error("no turn ended")), 20_000).unref();
  });
  await client.connect();
  const audio = [speech(2000), silence(2000)];
  for (const stretch of audio) {
    for (let at = 0; at < stretch.length; at += 3200) {
      client.sendAudio(stretch.slice(at, at + 3200).buffer);
    }
  }
  await over;
  await client.close();
  return { turns };
}

async function gateway() {
  const ask = {
    model: "claude-haiku-4-5-20251001",
    messages: [{ role: "user", content: "What is the capital of France?" }],
    max_tokens: 100,
  };
  const whole = await stt.llmGateway.chatCompletions(ask);
  const theirs = new OpenAI({
    baseURL: env.ASSEMBLYAI_LLM_GATEWAY_URL,
    apiKey: env.ASSEMBLYAI_API_KEY,
  });
  const models = await stt.llmGateway.listModels();
  const answer = await theirs.chat.completions.create(ask);
  return {
    models: models.data.map((model) => model.id),
    text: whole.choices[0].message.content,
    openai: answer.choices[0].message.content,
  };
}

async function chat() {
  const llm = new OpenAI({ baseURL: env.OPENAI_BASE_URL, apiKey: env.OPENAI_API_KEY });
  const ask = { model: "sandbox-1", messages: [{ role: "user", content: "Hello?" }] };
  const whole = await llm.chat.completions.create(ask);
  const stream = await llm.chat.completions.create({
    ...ask,
    stream: true,
    stream_options: { include_usage: true },
  });
  let streamed = "";
  let usage = false;
  for await (const chunk of stream) {
    usage ||= Boolean(chunk.usage);
    for (const choice of chunk.choices) streamed += choice.delta.content ?? "";
  }
  const older = await llm.completions.create({ model: "sandbox-1", prompt: "Hello?" });
  return {
    text: whole.choices[0].message.content,
    streamed,
    usage,
    completion: older.choices[0].text.trim(),
  };
}

const steps = { prerecorded, sync, streaming, gateway, chat };
const [step, ...rest] = process.argv.slice(2);
console.log(JSON.stringify(await steps[step](...rest)));
