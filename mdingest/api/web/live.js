// The websocket of one series: it comes back by itself and says when something was missed.

import { token } from "./series.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

export class Live {
  #socket = null;
  #timer = 0;
  #watch = 0;
  #wait = FIRST_WAIT_MS;
  #closed = false;

  /**
   * `handlers`: message(type, document), open(again), lost(reason), refused(status, detail).
   */
  constructor(symbol, interval, handlers) {
    this.symbol = symbol;
    this.interval = interval;
    this.handlers = handlers;
    this.opened = 0;
    this.wake = () => document.visibilityState === "visible" && this.#now();
    addEventListener("online", this.wake);
    document.addEventListener("visibilitychange", this.wake);
    this.#connect();
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#watch);
    removeEventListener("online", this.wake);
    document.removeEventListener("visibilitychange", this.wake);
    this.#drop();
  }

  #connect() {
    clearTimeout(this.#timer);
    const query = new URLSearchParams({ symbol: this.symbol, interval: this.interval });
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/stream?${query}`);
    this.#socket = socket;
    this.#expect(10);
    socket.onopen = () => token.get() && socket.send(JSON.stringify({ token: token.get() }));
    socket.onmessage = (event) => this.#hear(JSON.parse(event.data));
    socket.onclose = (event) => this.#lost(event.reason);
  }

  #hear(message) {
    if (message.type === "hello") {
      this.#wait = FIRST_WAIT_MS;
      this.alive_s = 2.5 * message.sign_of_life_s;
      this.handlers.open(this.opened > 0);
      this.opened += 1;
    } else if (message.type === "problem" && message.status !== 503) {
      this.close(); // to ask again would be refused again
      this.handlers.refused(message.status, message.detail);
      return;
    } else {
      this.handlers.message(message.type, message);
    }
    this.#expect(this.alive_s ?? 10);
  }

  /** A connection that says nothing for so long is no connection. */
  #expect(seconds) {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => {
      this.#drop();
      this.#lost("no sign of life");
    }, seconds * 1000);
  }

  #lost(reason) {
    if (this.#closed) return;
    clearTimeout(this.#watch);
    this.handlers.lost(reason);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), this.#wait * (0.5 + Math.random() / 2));
    this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT_MS);
  }

  #now() {
    if (this.#closed || this.#socket?.readyState === WebSocket.OPEN) return;
    this.#drop();
    this.#connect();
  }

  #drop() {
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }
}
