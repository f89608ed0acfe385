// Sends a question (POST /ask) and yields the events of its answer.

import * as words from './words.js';

// The server says `alive` every 5 s, so that silence means a dead connection.
const SILENCE_MS = 20_000;
const MOST_TURNS = 40;
const MOST_TURN_BYTES = 32 * 1024;

export class Refused extends Error {
  constructor(sentence, signedOut = false) {
    super(sentence);
    this.signedOut = signedOut;
  }
}

export class Lost extends Error {}

/** Sends the question at once, before its events are read. */
export function ask({ turns, text, recording, isComing }, signal) {
  // The server reads the parts as they arrive and wants them in this order.
  const form = new FormData();
  form.append('turns', JSON.stringify(turns));
  if (text) form.append('text', text);
  if (recording) form.append('recording', recording.blob, recording.name);
  if (isComing) form.append('coming', '');

  const sent = fetch('/ask', { method: 'POST', body: form, signal });
  // A failure is reported to the reader of the events.
  sent.catch(() => {});
  return events(sent, signal);
}

async function* events(sent, signal) {
  let response;
  try {
    response = await sent;
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Refused(words.unreachable);
  }
  if (!response.ok) throw await refusal(response);

  for await (const line of lines(response.body.getReader(), signal)) {
    const event = parse(line);
    yield event;
    if (event.event === 'answered' || event.event === 'failed') return;
  }
  throw new Lost();
}

/** The newest completed exchanges that fit, oldest first, always in pairs. */
export function turnsOf(exchanges) {
  const pairs = [];
  let bytes = 0;
  for (const { asked, answer } of [...exchanges].reverse()) {
    bytes += new TextEncoder().encode(asked + answer).length;
    if (bytes > MOST_TURN_BYTES || (pairs.length + 1) * 2 > MOST_TURNS) break;
    pairs.unshift([{ role: 'user', text: asked }, { role: 'assistant', text: answer }]);
  }
  return pairs.flat();
}

async function refusal(response) {
  if (response.status === 401) return new Refused(words.signedOut, true);
  try {
    const { error } = await response.json();
    if (typeof error === 'string') return new Refused(error);
  } catch {
    // A proxy in between may answer with its own page.
  }
  return new Refused(words.refused(response.status));
}

async function* lines(reader, signal) {
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      let chunk;
      try {
        chunk = await beforeSilence(reader.read());
      } catch (error) {
        throw signal.aborted ? error : new Lost();
      }
      if (chunk.done) break;
      const pieces = (rest + decoder.decode(chunk.value, { stream: true })).split('\n');
      rest = pieces.pop();
      yield* pieces.filter((piece) => piece.trim());
    }
    // The rest after the last line feed is complete only if the server omitted that line feed.
    if (rest.trim().endsWith('}')) yield rest;
  } finally {
    reader.cancel().catch(() => {});
  }
}

function beforeSilence(read) {
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Lost()), SILENCE_MS);
  });
  return Promise.race([read, silence]).finally(() => clearTimeout(timer));
}

function parse(line) {
  try {
    return JSON.parse(line);
  } catch {
    throw new Refused(words.garbled);
  }
}
