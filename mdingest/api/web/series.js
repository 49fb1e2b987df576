// One symbol at one interval: its candles and holes, fetched and kept current. No drawing here.

const PAGE = 600;

/** A reply that is no success; `status` is HTTP's. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** The token of this tab, where the server wants one. */
export const token = {
  get: () => sessionStorage.getItem("mdingest.token") ?? "",
  set: (value) => sessionStorage.setItem("mdingest.token", value),
};

/** A JSON document of the API. Throws Refused, or TypeError without a connection. */
export async function ask(path, signal) {
  const headers = token.get() ? { Authorization: `Bearer ${token.get()}` } : {};
  const reply = await fetch(path, { headers, signal });
  const document = await reply.json();
  if (!reply.ok) throw new Refused(reply.status, document.detail ?? reply.statusText);
  return document;
}

export const SECONDS = { "1s": 1, "1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "1d": 86_400 };

const instant = (text) => Date.parse(text) / 1000;

export class Series {
  constructor(symbol, interval) {
    this.symbol = symbol;
    this.interval = interval;
    this.step = SECONDS[interval];
    this.daily = this.step >= 86_400;
    this.candles = []; // ascending by `time`, epoch seconds
    this.holes = []; // {start, end, cause}, ascending, epoch seconds
    this.complete = false; // nothing older is stored
    this.loading = null;
  }

  get last() {
    return this.candles.at(-1);
  }

  /** The newest page. */
  async load(signal) {
    const document = await ask(this.#path({ limit: PAGE, forming: "true" }), signal);
    this.candles = [];
    this.holes = [];
    this.#take(document);
    this.complete = !document.truncated;
  }

  /** One page further back; true if there was any. One at a time. */
  async older(signal) {
    if (this.complete || this.loading || !this.candles.length) return false;
    this.loading = ask(this.#path({ limit: PAGE, end: this.candles[0].time }), signal);
    try {
      const document = await this.loading;
      this.complete = !document.truncated;
      if (!document.candles.length) return false;
      const before = this.candles[0].time;
      this.candles = [...document.candles.map(read), ...this.candles];
      this.holes = [...document.missing.map(hole).filter((h) => h.start < before), ...this.holes];
      return true;
    } finally {
      this.loading = null;
    }
  }

  /** What happened while nobody told us: everything from the first candle that could still change. */
  async refresh(signal) {
    if (!this.candles.length) return this.load(signal);
    const tail = this.candles.slice(-200);
    const open = tail.find((candle) => candle.state !== "final") ?? this.last;
    const start = Math.min(open.time, this.last.time - 20 * this.step);
    const document = await ask(this.#path({ limit: 5000, start, forming: "true" }), signal);
    if (document.truncated) return this.load(signal);
    this.#take(document, start);
    return undefined;
  }

  /** A message of the stream. Says how much of the drawing is touched: "last", "all" or "". */
  apply(message) {
    const end = this.last?.time ?? -Infinity;
    const candles = message.candles.map(read);
    const known = this.candles.length ? candles.filter((candle) => candle.time >= this.candles[0].time) : candles;
    for (const candle of known) this.#put(candle);
    if (message.missing_from !== undefined) {
      this.#holesFrom(instant(message.missing_from), message.missing.map(hole));
      return "all";
    }
    if (!known.length) return "";
    return known.every((candle) => candle.time >= end) ? "last" : "all";
  }

  #path(values) {
    return `/candles?${new URLSearchParams({ symbol: this.symbol, interval: this.interval, ...values })}`;
  }

  #take(document, from) {
    for (const row of document.candles) this.#put(read(row));
    const holes = document.missing.map(hole);
    this.#holesFrom(from ?? Math.min(this.candles[0]?.time ?? Infinity, holes[0]?.start ?? Infinity), holes);
  }

  #put(candle) {
    let at = this.candles.length;
    while (at > 0 && this.candles[at - 1].time > candle.time) at -= 1;
    if (at > 0 && this.candles[at - 1].time === candle.time) this.candles[at - 1] = candle;
    else this.candles.splice(at, 0, candle);
  }

  #holesFrom(start, holes) {
    const before = this.holes.filter((h) => h.start < start).map((h) => ({ ...h, end: Math.min(h.end, start) }));
    const fresh = holes.map((h) => ({ ...h }));
    const edge = before.at(-1);
    if (edge && fresh.length && edge.end === fresh[0].start && edge.cause === fresh[0].cause) {
      fresh[0].start = edge.start;
      before.pop();
    }
    this.holes = [...before, ...fresh];
  }
}

const read = (row) => ({ ...row, time: instant(row.ts_utc) });
const hole = ([start, end, cause]) => ({ start: instant(start), end: instant(end), cause });
