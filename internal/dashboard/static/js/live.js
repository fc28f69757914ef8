// Staying current: the node's events where the browser may open the stream, questions every few seconds where not.

import { get } from './api.js';

const pollMS = 3000;
const retryStreamMS = 15_000;

// A Live knows the latest status and tells who listens: onStatus(status), onBlock(event), onMode('' | 'live' | 'polling' |
// 'away' | 'locked').
export class Live {
  status = null;
  mode = '';
  rate = 0; // readings per second, smoothed
  #on;
  #stream = null;
  #timer = 0;
  #retryAt = 0;
  #heardAt = 0;
  #tell;
  // known is fulfilled once the node answered or did not: before, its clock is not known and no age can be told.
  known = new Promise((tell) => { this.#tell = tell; });

  constructor(on) {
    this.#on = on;
  }

  // start begins or begins again, e.g. after the token was given.
  start() {
    this.stop();
    this.#setMode('');
    this.#open();
    this.#poll();
  }

  stop() {
    this.#stream?.close();
    this.#stream = null;
    clearTimeout(this.#timer);
  }

  // now is the node's clock in milliseconds. A demo's clock runs fast: between two answers it is carried on at its speed.
  now() {
    if (!this.status) return Date.now();
    return this.status.now_ms + Math.min(performance.now() - this.#heardAt, pollMS) * (this.status.speed || 1);
  }

  #open() {
    const stream = new EventSource('/api/events');
    this.#stream = stream;
    stream.addEventListener('status', (e) => {
      this.#setMode('live');
      this.#heard(JSON.parse(e.data));
    });
    stream.addEventListener('block', (e) => this.#on.block(JSON.parse(e.data)));
    stream.onopen = () => this.#setMode('live');
    stream.onerror = () => {
      if (this.mode === 'live') this.#setMode('polling');
      if (stream.readyState === EventSource.CLOSED) this.#retryAt = performance.now() + retryStreamMS;
    };
  }

  async #poll() {
    clearTimeout(this.#timer);
    if (this.mode !== 'live' && !document.hidden) await this.#ask();
    if (this.#stream?.readyState === EventSource.CLOSED && this.mode !== 'locked' && performance.now() > this.#retryAt) {
      this.#open();
    }
    if (this.mode !== 'locked') this.#timer = setTimeout(() => this.#poll(), pollMS);
  }

  async #ask() {
    try {
      const status = await get('/status');
      if (this.mode !== 'live') this.#setMode('polling');
      this.#heard(status);
    } catch (err) {
      if (err.status === 401) this.lock();
      else this.#setMode('away');
    }
  }

  // lock stops asking until start is called with a token the node takes.
  lock() {
    this.stop();
    this.#setMode('locked');
  }

  #heard(status) {
    const at = performance.now();
    const seconds = (at - this.#heardAt) / 1000;
    if (this.status && seconds > 0.05) {
      const now = Math.max(0, (status.totals.readings - this.status.totals.readings) / seconds);
      this.rate = this.rate ? 0.7 * this.rate + 0.3 * now : now;
    }
    this.status = status;
    this.#heardAt = at;
    this.#tell();
    this.#on.status(status);
  }

  #setMode(mode) {
    if (this.mode === mode) return;
    this.mode = mode;
    if (mode === 'away' || mode === 'locked') this.#tell();
    this.#on.mode(mode);
  }
}

// every returns a function that runs work at once and then at most every gap milliseconds, never twice at a time; a slow
// node is asked less often.
export function every(gap, work) {
  let busy = false;
  let again = false;
  let next = 0;
  const run = async () => {
    if (busy || performance.now() < next || document.hidden) {
      again = true;
      return;
    }
    busy = true;
    again = false;
    const began = performance.now();
    try {
      await work();
    } finally {
      const end = performance.now();
      const wait = Math.max(gap, 10 * (end - began));
      next = end + wait;
      busy = false;
      setTimeout(() => again && run(), wait + 1);
    }
  };
  return run;
}
