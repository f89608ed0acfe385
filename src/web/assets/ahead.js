// A recording that is sent while it is being made, so that it can be listened to already.
// If anything goes wrong on the way, nothing is said of it: all of it is sent in the end.

import { ask } from './ask.js';

export class Ahead {
  /** Stops all of it. */
  stopper = new AbortController();
  #question;
  #events;
  #place;
  #sent = 0;
  #sending;

  constructor(turns) {
    this.#question = { turns };
    this.#events = ask({ turns, isComing: true }, this.stopper.signal);
    this.#sending = this.#begin();
    // Told at the end.
    this.#sending.catch(() => {});
  }

  async #begin() {
    const { value } = await this.#events.next();
    if (value?.event !== 'coming') throw new Error('not taken');
    this.#place = `/recordings/${value.id}`;
  }

  push(piece) {
    this.#sending = this.#sending.then(() => this.#send(piece));
    this.#sending.catch(() => {});
  }

  async #send(piece, end = '') {
    const { signal } = this.stopper;
    const response = await fetch(`${this.#place}/${this.#sent}${end}`, { method: 'POST', body: piece, signal });
    if (!response.ok) throw new Error(response.statusText);
    this.#sent += piece.size;
  }

  /** Sends the rest at once; the events of the answer follow. `whole` is all of it. */
  finish(rest, whole) {
    const sent = this.#sending.then(() => this.#send(rest, '/last'));
    // Whoever reads the events is told.
    sent.catch(() => {});
    return this.#follow(sent, whole);
  }

  async *#follow(sent, whole) {
    const { signal } = this.stopper;
    try {
      await sent;
    } catch (error) {
      if (signal.aborted) throw error;
      this.#events.return();
      yield* ask({ ...this.#question, recording: whole }, signal);
      return;
    }
    yield* this.#events;
  }
}
