// The page's elements and announcements. Text is inserted only as text, never as HTML.

import { seconds } from './words.js';

const page = document.documentElement;
const find = (selector) => document.querySelector(selector);
const conversation = find('#conversation');
const status = find('#status');
const clock = find('#clock');

// Keeps the end of the conversation in view unless the reader has scrolled up. Measures once per
// frame: measuring after every word would cost more than showing the words.
const isAtEnd = () => innerHeight + scrollY >= document.body.scrollHeight - 48;
let follows = true;
let scrolledTo = 0;
let frame = 0;
addEventListener('scroll', () => {
  follows = isAtEnd() || (follows && scrollY >= scrolledTo);
  scrolledTo = scrollY;
}, { passive: true });

function keepInSight() {
  if (!follows || frame) return;
  frame = requestAnimationFrame(() => {
    frame = 0;
    if (follows) scrollTo(0, document.body.scrollHeight);
  });
}

export const state = () => page.dataset.state;

export function setState(name) {
  page.dataset.state = name;
  find('#talk').setAttribute('aria-pressed', String(name === 'recording'));
  // Not `disabled`: that would take the keyboard focus away in the middle of a conversation.
  find('#talk').setAttribute('aria-disabled', String(name === 'working'));
  find('#send').setAttribute('aria-disabled', String(name !== 'idle'));
}

export function say(sentence, isFailure = false) {
  status.textContent = sentence;
  status.classList.toggle('failure', isFailure);
}

/** For screen readers, in addition to `say`. */
export function announce(sentence) {
  const line = document.createElement('p');
  line.textContent = sentence;
  find('#announcer').append(line);
  // Long enough to be read out, and removed before anyone finds it while browsing.
  setTimeout(() => line.remove(), 20_000);
}

export function showClock(elapsed, longest) {
  clock.hidden = elapsed === null;
  if (elapsed === null) return;
  const left = Math.ceil(longest - elapsed);
  clock.textContent = left <= 10 ? `${time(elapsed)}, ${Math.max(0, left)} s left` : time(elapsed);
}

export function sayAbout(sentence) {
  find('#about').textContent = sentence;
}

export function showAbout(about) {
  sayAbout(`${about.hears.join(', or ')} listens. ${about.answers} answers. ${whereItGoes(about)}`);
}

export function clearConversation() {
  conversation.replaceChildren();
  showWhetherEmpty();
}

function showWhetherEmpty() {
  const isEmpty = !conversation.children.length;
  find('#empty').hidden = !isEmpty;
  find('#new').hidden = isEmpty;
}

/** One question and its answer on the page. */
export class ExchangeView {
  #article;

  constructor(number, { onStop, onAgain, onCopy }) {
    this.#article = find('#exchange').content.cloneNode(true).firstElementChild;
    this.#article.setAttribute('aria-label', `Exchange ${number}`);
    this.#part('.stop').onclick = onStop;
    this.#part('.again').onclick = onAgain;
    this.#part('.reload').onclick = () => location.reload();
    this.#part('.copy').onclick = () => onCopy(this.answerSoFar());
    conversation.append(this.#article);
    showWhetherEmpty();
  }

  begin() {
    const hadFocus = document.activeElement === this.#part('.again');
    for (const name of ['.answer', '.answerer', '.failure', '.notice', '.again', '.copy', '.reload']) this.#set(name, '');
    this.#part('.stop').hidden = false;
    // Hiding a focused button would lose the keyboard focus, so it is moved first.
    if (hadFocus) this.#part('.stop').focus();
    this.#article.setAttribute('aria-busy', 'true');
    // Scroll to the new question.
    if (this.#isLast()) follows = true;
    this.#follow();
  }

  end({ left, again = true, reload = false }) {
    const hadFocus = document.activeElement === this.#part('.stop');
    this.stage(left);
    this.#part('.stop').hidden = true;
    this.#part('.again').hidden = !again;
    this.#part('.reload').hidden = !reload;
    this.#part('.copy').hidden = !this.answerSoFar();
    this.#article.removeAttribute('aria-busy');
    if (hadFocus) this.#part(again ? '.again' : '.reload').focus();
    this.#follow();
  }

  asked = (text) => this.#show('.asked', text);
  heard = (text) => this.#show('.heard', text);
  failure = (text) => this.#show('.failure', text);
  stage = (text) => this.#show('.stage', text);

  notice(text) {
    const lines = this.#part('.notice').textContent.split('\n').filter(Boolean);
    if (!lines.includes(text)) this.#show('.notice', [...lines, text].join('\n'));
  }

  answer(text) {
    this.#part('.answerer').hidden = !text;
    this.#show('.answer', text);
  }

  answerSoFar = () => this.#part('.answer').textContent;

  engines(heard, answered) {
    const sentences = [];
    if (heard) sentences.push(`Heard by ${heard.by} in ${seconds(heard.took_seconds)}.`);
    if (answered) sentences.push(`Answered by ${answered.by} in ${seconds(answered.took_seconds)}.`);
    this.#show('.engines', sentences.join(' '));
  }

  #show(name, text) {
    this.#set(name, text);
    this.#follow();
  }

  #set(name, text) {
    const part = this.#part(name);
    if (!(part instanceof HTMLButtonElement) && name !== '.answerer') part.textContent = text;
    part.hidden = !text;
  }

  #part(name) {
    return this.#article.querySelector(name);
  }

  #isLast = () => this.#article === conversation.lastElementChild;

  #follow() {
    if (this.#isLast()) keepInSight();
  }
}

function whereItGoes({ hears, answers, stays_here: staysHere }) {
  const isHere = ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);
  const machine = isHere ? 'this machine' : `the machine at ${location.host}`;
  if (staysHere) return `Everything stays on ${machine}.`;
  // Providers on the machine itself have “(local)” in their names.
  const away = hears.filter((name) => !name.includes('(local)'));
  const voice = away.length ? `Your voice goes to ${away.join(' or ')}` : `Your voice stays on ${machine}`;
  const written = answers.endsWith('at this machine') ? `your words stay on ${machine}` : `your words go to ${answers}`;
  return `${voice}, and ${written}.`;
}

const time = (elapsed) =>
  `${Math.floor(elapsed / 60)}:${String(Math.floor(elapsed % 60)).padStart(2, '0')}`;
