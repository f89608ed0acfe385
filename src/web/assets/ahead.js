// Uploads a recording while it is still being made, so that transcription can begin early.
// If the early upload fails, the user sees nothing of it: the whole recording is sent at the end.

import { ask } from './ask.js';

export class Ahead {
  /** Stops the upload and the request. */
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
    // Reported by finish().
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

  /** Sends the rest and yields the events of the answer. `whole` is the complete recording. */
  finish(rest, whole) {
    const sent = this.#sending.then(() => this.#send(rest, '/last'));
    // Reported to the reader of the events.
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
