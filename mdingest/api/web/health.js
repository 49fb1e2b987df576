// How the feeds are doing: the pill, the banner that says why not, and the panel with all parts.

import { span } from "./format.js";

const FEED_WORDS = {
  connecting: "connecting",
  backoff: "is down, trying again",
  parked: "is parked and waits for you",
  idle: "has nothing to subscribe",
  stopped: "has stopped",
};

export class FeedState {
  #report = null;
  #lost = null;

  constructor({ pill, text, banner, panel }) {
    Object.assign(this, { pill, text, banner, panel });
    pill.addEventListener("click", () => this.#toggle(panel.hidden));
    document.addEventListener("pointerdown", (event) => {
      if (!panel.contains(event.target) && !pill.contains(event.target)) this.#toggle(false);
    });
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.#toggle(false));
  }

  /** A health document. */
  heard(report) {
    this.#report = report;
    this.#lost = null;
    this.#show();
  }

  /** The page itself has no connection. */
  lost(reason) {
    this.#lost ??= { reason, since: Date.now() };
    this.#show();
  }

  #show() {
    const { state, word, why, mild } = this.#verdict();
    this.pill.dataset.state = state;
    this.text.textContent = word;
    this.banner.hidden = !why;
    this.banner.textContent = why;
    this.banner.classList.toggle("wait", Boolean(mild));
    if (!this.panel.hidden) this.#fill();
  }

  #verdict() {
    if (this.#lost) {
      const said = this.#lost.reason ? ` (${this.#lost.reason})` : "";
      return { state: "down", word: "offline", why: `No connection to mdingest${said}. Trying again; what is missed will be fetched.` };
    }
    const parts = this.#report?.parts ?? {};
    const feeds = Object.entries(parts.feeds ?? {}).filter(([, detail]) => typeof detail === "object");
    const down = feeds.filter(([, detail]) => detail.state !== "live");
    if (down.length) {
      const why = down.map(([name, detail]) => `${name} ${FEED_WORDS[detail.state] ?? detail.state}${detail.error ? `: ${detail.error}` : ""}`);
      const starting = down.every(([, detail]) => detail.state === "connecting" && !detail.error);
      const word = starting ? "connecting" : down.length === feeds.length ? "feed down" : `${down.length} of ${feeds.length} feeds down`;
      return { state: starting ? "wait" : "down", word, why: `${why.join("; ")}.`, mild: starting };
    }
    const failing = Object.entries(parts).filter(([, detail]) => !detail.ok);
    if (failing.length) {
      const why = failing.map(([name, detail]) => `${name}: ${detail.error ?? "not well"}`).join("; ");
      return { state: "wait", word: `${failing[0][0]} failing`, why, mild: true };
    }
    return feeds.length ? { state: "live", word: "live", why: "" } : { state: "wait", word: "read only", why: "" };
  }

  #toggle(open) {
    this.panel.hidden = !open;
    this.pill.setAttribute("aria-expanded", String(open));
    if (open) this.#fill();
  }

  #fill() {
    const title = document.createElement("h2");
    const { version = "", clock } = this.#report ?? {};
    title.textContent = `mdingest ${version}${clock ? ` · clock ${clock}` : ""}`;
    const list = document.createElement("dl");
    for (const [name, detail] of Object.entries(this.#report?.parts ?? {})) {
      const feeds = Object.entries(detail).filter(([, value]) => value && typeof value === "object");
      if (name === "feeds") feeds.forEach(([feed, one]) => row(list, feed, one.state === "live", describe(one)));
      else row(list, name, detail.ok, detail.error ?? summary(name, detail));
    }
    this.panel.replaceChildren(title, list);
  }
}

function describe(feed) {
  const facts = [feed.state];
  if (feed.state_for_s !== null) facts.push(`for ${span(feed.state_for_s)}`);
  if (feed.error) facts.push(feed.error);
  facts.push(`${feed.instruments} instruments`);
  if (feed.last_frame_s !== null) facts.push(`last frame ${span(feed.last_frame_s)} ago`);
  if (feed.reconnects) facts.push(`${feed.reconnects} reconnects`);
  return facts.join(" · ");
}

function summary(name, detail) {
  if (name === "writer") return `${detail.rows} rows in ${detail.commits} commits · ${span(detail.behind_s)} behind`;
  if (name === "disk") return `${(detail.free_bytes / 2 ** 30).toFixed(1)} GiB free`;
  if (name === "journal") return `${(detail.end_lsn / 2 ** 20).toFixed(1)} MiB logged`;
  return detail.ok ? "well" : "not well";
}

function row(list, name, ok, text) {
  const term = document.createElement("dt");
  term.textContent = name;
  term.classList.toggle("bad", !ok);
  const about = document.createElement("dd");
  about.textContent = text;
  list.append(term, about);
}
