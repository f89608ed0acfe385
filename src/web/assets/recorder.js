// Records from the microphone, from the permission request until it is released.

const TYPES = ['audio/webm;codecs=opus', 'audio/ogg;codecs=opus', 'audio/mp4'];
// Bits per second: plenty for speech, and half of what browsers choose.
const BITS_A_SECOND = 64_000;
// The length of a piece.
const PIECE_MS = 100;
// If a browser never reports that it stopped, what was recorded is sent anyway.
const LONGEST_STOP_MS = 3000;

/**
 * Opens the microphone and records. Rejects with the browser's error.
 * `onPiece` is given what has been recorded, piece by piece, up to the stop.
 * `onGone` is called when the microphone ends by itself, such as by being unplugged.
 */
export async function record(onPiece, onGone) {
  // Created before the first await: iOS allows audio to start only within the touch event.
  const context = soundContext();
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
    return new Recording(stream, context, onPiece, onGone);
  } catch (error) {
    letGo(stream, context);
    throw error;
  }
}

class Recording {
  #stream;
  #context;
  #recorder;
  #stopped;
  #chunks = [];
  // How many pieces were handed on.
  #handedOn = 0;
  #startedAt = performance.now();
  #analyser = null;

  constructor(stream, context, onPiece, onGone) {
    this.#stream = stream;
    this.#context = context;
    const type = TYPES.find((candidate) => MediaRecorder.isTypeSupported?.(candidate));
    this.#recorder = new MediaRecorder(stream, { mimeType: type, audioBitsPerSecond: BITS_A_SECOND });
    this.#recorder.ondataavailable = ({ data }) => {
      if (!data.size) return;
      this.#chunks.push(data);
      if (this.#recorder.state !== 'recording') return;
      this.#handedOn = this.#chunks.length;
      onPiece(data);
    };
    this.#stopped = new Promise((resolve) => (this.#recorder.onstop = resolve));
    this.#recorder.onerror = onGone;
    this.#recorder.start(PIECE_MS);
    stream.getAudioTracks()[0].onended = onGone;
    this.#listen();
  }

  get seconds() {
    return (performance.now() - this.#startedAt) / 1000;
  }

  /** The current level from 0 to 1, on a perceptual scale. */
  level() {
    if (!this.#analyser) return 0;
    const samples = new Float32Array(this.#analyser.fftSize);
    this.#analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    const decibels = 10 * Math.log10(power + 1e-10);
    return Math.min(1, Math.max(0, (decibels + 55) / 45));
  }

  /** Ends the recording; resolves to all of it, and the rest that was not handed on. */
  async stop() {
    const { seconds } = this;
    // It has already stopped by itself if the microphone was unplugged.
    if (this.#recorder.state !== 'inactive') this.#recorder.stop();
    await Promise.race([this.#stopped, new Promise((resolve) => setTimeout(resolve, LONGEST_STOP_MS))]);
    // After the recording is handed over, since this takes a moment.
    setTimeout(() => letGo(this.#stream, this.#context));
    const type = this.#chunks[0]?.type || this.#recorder.mimeType;
    const rest = new Blob(this.#chunks.slice(this.#handedOn));
    return { blob: new Blob(this.#chunks, { type }), rest, name: fileName(type), seconds };
  }

  cancel() {
    this.#recorder.ondataavailable = null;
    if (this.#recorder.state !== 'inactive') this.#recorder.stop();
    letGo(this.#stream, this.#context);
    this.#chunks = [];
  }

  // A recording works without a meter, so an error here must not fail it.
  #listen() {
    try {
      this.#context.resume().catch(() => {});
      const analyser = this.#context.createAnalyser();
      analyser.fftSize = 1024;
      this.#context.createMediaStreamSource(this.#stream).connect(analyser);
      this.#analyser = analyser;
    } catch {
      this.#analyser = null;
    }
  }
}

function soundContext() {
  try {
    const context = new AudioContext();
    context.resume().catch(() => {});
    return context;
  } catch {
    return null;
  }
}

// The browser's recording indicator goes off only when the tracks are stopped.
function letGo(stream, context) {
  for (const track of stream?.getTracks() ?? []) {
    track.onended = null;
    track.stop();
  }
  if (context && context.state !== 'closed') context.close().catch(() => {});
}

function fileName(type) {
  if (type.includes('ogg')) return 'recording.ogg';
  if (type.includes('mp4')) return 'recording.m4a';
  return 'recording.webm';
}
