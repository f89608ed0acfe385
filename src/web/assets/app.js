// The page of `talkback web`: connects the modules and keeps the conversation.

import { Ahead } from './ahead.js';
import { ask, Lost, Refused, turnsOf } from './ask.js';
import { copy } from './copy.js';
import { isReadable, listenForFiles } from './files.js';
import { listenForTalk } from './hold.js';
import { Meter } from './meter.js';
import { record } from './recorder.js';
import * as view from './view.js';
import * as words from './words.js';

const SHORTEST_SECONDS = 0.3;
// Shorter stages are not shown: nobody could read them, and drawing slows down a local model on
// the same machine.
const SHORTEST_STAGE_MS = 200;
const field = document.querySelector('#text');
const talkButton = document.querySelector('#talk');
const meter = new Meter(talkButton);

let about = { longest_seconds: 600, largest_bytes: 64 * 1024 * 1024 };
let exchanges = [];
// Stops the current work.
let stopper = null;
// The current attempt to record: { recording, ahead, clock, latched, withdrawn }.
let attempt = null;
// Shows the latest stage.
let stageTimer = 0;

// ---- Recording ----

async function startRecording() {
  const missing = whyNoMicrophone();
  if (missing) return view.say(missing, true);

  const mine = { recording: null, ahead: null, clock: 0, latched: false, withdrawn: false };
  attempt = mine;
  view.setState('asking-microphone');
  view.say('Waiting for the microphone.');
  let recording;
  try {
    recording = await record(
      (piece) => mine.ahead?.push(piece),
      () => attempt === mine && finishRecording('The microphone was disconnected.'),
    );
  } catch (error) {
    // Report the failure even if the button was released long ago.
    if (attempt !== mine && !(mine.withdrawn && view.state() === 'idle')) return;
    attempt = null;
    view.setState('idle');
    return view.say(words.microphone(error), true);
  }
  if (mine.withdrawn || document.hidden) {
    recording.cancel();
    if (attempt === mine) endAttempt();
    if (view.state() === 'idle') view.say(words.readyNow);
    return;
  }
  mine.recording = recording;
  mine.ahead = new Ahead(turnsOf(answered(exchanges)));
  view.setState('recording');
  sayListening();
  meter.follow(() => recording.level());
  const tick = () => {
    view.showClock(recording.seconds, about.longest_seconds);
    // A little early, since stopping the recorder takes a moment and longer recordings are refused.
    if (recording.seconds >= about.longest_seconds - 0.3) finishRecording(words.longestReached(about.longest_seconds));
  };
  tick();
  mine.clock = setInterval(tick, 100);
}

function latchRecording() {
  if (!attempt) return;
  attempt.latched = true;
  if (attempt.recording) sayListening();
}

const sayListening = () => view.say(attempt.latched ? 'Listening. Press again to send.' : 'Listening.');

function endAttempt() {
  clearInterval(attempt.clock);
  attempt = null;
  view.showClock(null);
  meter.rest();
  view.setState('idle');
}

async function finishRecording(notice = null) {
  // Released after the recording failed or ended by itself.
  if (!attempt) return;
  const { recording, ahead } = attempt;
  if (!recording) {
    attempt.withdrawn = true;
    endAttempt();
    return view.say(words.notReadyYet);
  }
  performance.clearMarks('released');
  performance.clearMarks('heard');
  performance.mark('released');
  const ended = recording.stop();
  endAttempt();
  // Block other actions until the recording is ready.
  view.setState('working');
  const { blob, rest, name, seconds } = await ended;
  view.setState('idle');
  const refusal = seconds < SHORTEST_SECONDS || !blob.size
    ? words.tooShort
    : blob.size > about.largest_bytes && words.fileTooLarge('The recording', about.largest_bytes);
  if (refusal) {
    ahead.stopper.abort();
    return view.say(refusal, true);
  }
  askNew({ recording: { blob, name }, ahead, rest, label: `A recording of ${words.seconds(seconds)}`, notice });
}

function cancelRecording() {
  attempt.withdrawn = true;
  attempt.recording?.cancel();
  attempt.ahead?.stopper.abort();
  endAttempt();
  view.say('Cancelled. What you said was thrown away.');
}

function whyNoMicrophone() {
  if (!window.isSecureContext) return words.insecure;
  if (!navigator.mediaDevices?.getUserMedia || !window.MediaRecorder) return words.noRecorder;
  return null;
}

// ---- Files and typing ----

async function takeFile(file, others = 0) {
  if (file.size > about.largest_bytes) return view.say(words.fileTooLarge(file.name, about.largest_bytes), true);
  if (!(await isReadable(file))) return view.say(words.folder, true);
  if (!file.size) return view.say(words.fileEmpty(file.name), true);
  if (isBusy()) return;
  const notice = others ? `One recording at a time: only ${file.name} was sent.` : null;
  askNew({ recording: { blob: file, name: file.name }, text: takeTyped(), label: file.name, notice });
}

function isBusy() {
  if (view.state() === 'idle') return false;
  view.say(view.state() === 'working' ? words.busy : words.recordingNow);
  return true;
}

function takeTyped() {
  const text = field.value.trim();
  field.value = '';
  fitField();
  return text;
}

function sendTyped() {
  if (isBusy()) return;
  if (!field.value.trim()) return view.say(words.nothingTyped);
  askNew({ text: takeTyped() });
}

function fitField() {
  field.style.height = 'auto';
  field.style.height = `${field.scrollHeight + 2}px`;
}

// ---- Asking ----

function askNew({ recording = null, ahead = null, rest = null, text = '', label = '', notice = null }) {
  const exchange = { recording, text, label, asked: recording ? null : text, heard: null, answer: null };
  exchanges.push(exchange);
  if (!recording) performance.clearMarks('released');
  if (!ahead) return work(exchange, { notice });
  return work(exchange, { notice, stopper: ahead.stopper, events: ahead.finish(rest, recording) });
}

function show(exchange) {
  const shown = new view.ExchangeView(exchanges.length, {
    onStop: () => stopper?.abort(),
    onAgain: () => askAgain(exchange),
    onCopy: copyAnswer,
  });
  shown.asked(exchange.text);
  return shown;
}

function askAgain(exchange) {
  if (isBusy()) return;
  performance.clearMarks('released');
  return work(exchange);
}

// With an early upload, `events` and `stopper` are those of its request.
async function work(exchange, { notice = null, stopper: mine = new AbortController(), events = null } = {}) {
  stopper = mine;
  // Send before drawing, which takes longer.
  events ??= send(exchange, mine.signal);
  const shown = (exchange.view ??= show(exchange));
  performance.clearMarks('heard');
  view.setState('working');
  meter.wander();
  exchange.answer = null;
  shown.begin();
  shown.engines(exchange.heard, null);
  stage(exchange.recording ? 'Sending' : 'Asking', exchange);
  if (notice) shown.notice(notice);

  const outcome = { sentence: 'Answered.' };
  try {
    for await (const event of events) {
      if (mine.signal.aborted) break;
      take(event, exchange, outcome);
    }
    if (mine.signal.aborted) throw new DOMException('', 'AbortError');
  } catch (error) {
    explain(error, mine.signal, exchange, outcome);
  }
  // A new conversation has replaced this work.
  if (stopper !== mine) return;
  stopper = null;
  clearTimeout(stageTimer);
  meter.rest();
  view.setState('idle');
  shown.end({ ...outcome, left: exchange.label });
  view.say(outcome.sentence);
}

const answered = (exchanges) => exchanges.filter(({ answer }) => answer);

function send(exchange, signal) {
  const before = answered(exchanges.slice(0, exchanges.indexOf(exchange)));
  // A recording that has been transcribed is not sent again.
  const question = exchange.asked === null
    ? { text: exchange.text, recording: exchange.recording }
    : { text: exchange.asked };
  return ask({ ...question, turns: turnsOf(before) }, signal);
}

function take(event, exchange, outcome) {
  const { view: shown } = exchange;
  switch (event.event) {
    case 'stage':
      soon(() => stage(event.text, exchange));
      break;
    case 'progress':
      soon(() => shown.stage(event.text));
      break;
    case 'notice':
      shown.notice(event.text);
      view.announce(event.text);
      break;
    case 'heard':
      clearTimeout(stageTimer);
      shown.heard(event.text);
      afterNextFrame(() => performance.mark('heard'));
      exchange.heard = event;
      exchange.asked = [exchange.text, event.text].filter(Boolean).join('\n\n');
      exchange.recording = null;
      exchange.label = '';
      shown.engines(event, null);
      view.announce(`You said: ${event.text}`);
      break;
    case 'partial':
      shown.answer(shown.answerSoFar() + event.text);
      break;
    case 'take_back':
      shown.answer('');
      break;
    case 'answered':
      exchange.answer = event.text;
      shown.answer(event.text);
      shown.engines(exchange.heard, event);
      if (event.finish === 'length') shown.notice('The answer reached the length limit and stops here.');
      if (event.finish === 'filtered') shown.notice('The provider’s content filter cut this answer short.');
      if (event.notice) shown.notice(event.notice);
      view.announce(`Answer: ${event.text}`);
      break;
    case 'failed':
      fail(event.text, exchange, outcome);
      break;
    // `alive` and unknown events of newer servers are ignored.
  }
}

// Runs once the latest changes are on the screen.
const afterNextFrame = (then) => requestAnimationFrame(() => setTimeout(then));

function soon(show) {
  clearTimeout(stageTimer);
  stageTimer = setTimeout(show, SHORTEST_STAGE_MS);
}

function stage(text, exchange) {
  const label = exchange.label ? `${exchange.label}. ` : '';
  exchange.view.stage(`${label}${text} …`);
  view.say(`${text} …`);
}

function explain(error, signal, exchange, outcome) {
  if (signal.aborted) {
    exchange.view.notice('Stopped.');
    outcome.sentence = 'Stopped.';
  } else if (error instanceof Refused) {
    fail(error.message, exchange, outcome);
    if (error.signedOut) Object.assign(outcome, { again: false, reload: true });
  } else if (error instanceof Lost) {
    fail(exchange.view.answerSoFar() ? words.lostInAnswer : words.lostBeforeAnswer, exchange, outcome);
  } else {
    console.error(error);
    fail(words.garbled, exchange, outcome);
  }
}

function fail(sentence, exchange, outcome) {
  exchange.view.failure(sentence);
  view.announce(sentence);
  outcome.sentence = 'That didn’t work.';
}

async function copyAnswer(text) {
  const copied = await copy(text);
  view.say(copied ? 'Copied.' : words.notCopied, !copied);
}

function newConversation() {
  if (attempt) cancelRecording();
  const old = stopper;
  stopper = null;
  clearTimeout(stageTimer);
  old?.abort();
  exchanges = [];
  view.clearConversation();
  meter.rest();
  view.setState('idle');
  view.say('New conversation. Ready.');
  talkButton.focus({ preventScroll: true });
}

// ---- Start ----

async function learnAbout() {
  try {
    const response = await fetch('/about');
    if (response.status === 401) return view.sayAbout(words.signedOut);
    if (!response.ok) throw new Error(response.statusText);
    about = await response.json();
    view.showAbout(about);
  } catch {
    view.sayAbout('Talkback can’t be reached right now. Check that it’s running; this page keeps trying.');
    setTimeout(learnAbout, 5000);
  }
}

listenForTalk(talkButton, {
  phase: view.state,
  start: startRecording,
  latch: latchRecording,
  finish: () => finishRecording(),
  cancel: cancelRecording,
  busy: () => view.say(words.busy),
});
listenForFiles(document.querySelector('#file'), document.querySelector('#drop'), takeFile);

document.querySelector('#typed').addEventListener('submit', (event) => {
  event.preventDefault();
  sendTyped();
});
field.addEventListener('input', fitField);
field.addEventListener('keydown', (event) => {
  // 229: Safari's way to say that Enter only chose a character.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  sendTyped();
});
document.querySelector('#new').addEventListener('click', newConversation);
for (const example of document.querySelectorAll('.example')) {
  example.addEventListener('click', () => {
    if (isBusy()) return;
    // The examples disappear, so the keyboard focus must move.
    talkButton.focus({ preventScroll: true });
    askNew({ text: example.textContent });
  });
}

const missing = whyNoMicrophone();
if (missing) view.say(missing, true);
learnAbout();
