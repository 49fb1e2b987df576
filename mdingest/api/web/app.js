// The page: what is looked at, and the wires between data, drawing and controls.

import { Chart } from "./chart.js";
import { ZONES, clock, dateTime, decimals, quantity, zoneOf } from "./format.js";
import { FeedState } from "./health.js";
import { Live } from "./live.js";
import { Search } from "./search.js";
import { Refused, SECONDS, Series, ask, token } from "./series.js";

const LOOK_AGAIN_MS = 2000;
const $ = (id) => document.getElementById(id);

const kept = {
  get: (name) => localStorage.getItem(`mdingest.${name}`),
  set: (name, value) => localStorage.setItem(`mdingest.${name}`, value),
};

const feed = new FeedState({ pill: $("feed"), text: $("feed-text"), banner: $("banner"), panel: $("health") });
const search = new Search($("symbol"), $("symbols"), { refresh: symbols, choose: (symbol) => look(symbol, shown.interval) });
const shown = { symbol: "", interval: "1m", exchange: "", series: null, live: null, abort: null };
let known = [];
let chart = null;
let hovered = null;

/** The symbols of the server, at worst those we knew. */
async function symbols() {
  try {
    known = (await ask("/symbols")).symbols;
  } catch (error) {
    if (error instanceof Refused && error.status === 401) await askToken();
    else feed.lost("");
  }
  return known;
}

/** Wait until a token was entered. */
function askToken() {
  const dialog = $("access");
  if (!dialog.open) dialog.showModal();
  $("token").focus();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      token.set($("token").value.trim());
      resolve();
    };
  });
}

function note(title, text = "") {
  $("note").hidden = !title;
  const strong = document.createElement("b");
  strong.textContent = title;
  $("note").replaceChildren(strong, document.createTextNode(text));
}

/** Show a symbol at an interval. */
async function look(symbol, interval) {
  shown.abort?.abort();
  shown.live?.close();
  const abort = new AbortController();
  const series = new Series(symbol, interval);
  const row = known.find((one) => one.symbol === symbol);
  Object.assign(shown, { symbol, interval, series, abort, exchange: row?.exchange ?? "", live: null });
  search.current = symbol;
  hovered = null;
  mark(interval);
  setZone(kept.get("zone") ?? zoneOf(shown.exchange));
  history.replaceState(null, "", `?${new URLSearchParams({ symbol, interval })}`);
  kept.set("symbol", symbol);
  kept.set("interval", interval);
  document.title = `${symbol} · ${interval} · mdingest`;
  shown.live = new Live(symbol, interval, handlers(series, abort.signal));
  await loaded(series, abort.signal, () => series.load(abort.signal));
}

/** Run a fetch that changes everything of a series, and draw it if it is still looked at. */
async function loaded(series, signal, fetching) {
  try {
    await fetching();
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof Refused && error.status === 401) {
      await askToken();
      look(series.symbol, series.interval);
      return;
    }
    if (error instanceof Refused) note(`${series.symbol} can't be shown`, error.message);
    else feed.lost("");
    return;
  }
  if (signal.aborted) return;
  series.ready = true;
  chart?.show(series);
  told();
}

function handlers(series, signal) {
  let waiting = []; // what arrives before the history does
  return {
    open: (again) => {
      if (again) refresh(series, signal);
    },
    lost: (reason) => feed.lost(reason),
    refused: async (status, detail) => {
      if (status === 401) {
        await askToken();
        look(series.symbol, series.interval);
      } else {
        note(`${series.symbol} can't be shown`, detail);
      }
    },
    message: (type, message) => {
      if (type === "health") {
        feed.heard(message);
        skew = Date.parse(message.time) - Date.now();
        return;
      }
      if (type === "reload") {
        loaded(series, signal, () => series.load(signal));
        return;
      }
      if (type !== "candles") return;
      waiting.push(message);
      if (!series.ready) return;
      const touched = waiting.map((one) => series.apply(one));
      waiting = [];
      if (touched.includes("all")) chart?.draw();
      else if (touched.includes("last")) chart?.drawLast();
      told();
    },
  };
}

/** The connection is back: fetch what was missed, and leave the view where it is. */
async function refresh(series, signal) {
  if (!series.ready) return;
  try {
    await series.refresh(signal);
  } catch (error) {
    if (!signal.aborted && !(error instanceof Refused)) feed.lost("");
    return;
  }
  if (signal.aborted) return;
  chart?.draw();
  told();
}

async function older() {
  const { series, abort } = shown;
  if (!series?.ready) return;
  try {
    if (!(await series.older(abort.signal)) || abort.signal.aborted) return;
    chart.draw();
    told();
  } catch (error) {
    if (!abort.signal.aborted && !(error instanceof Refused)) feed.lost("");
  }
}

// --- what the page says about what it shows

function told() {
  const { series } = shown;
  if (!series?.ready) return;
  if (!chart) note("The chart library is missing", "Run `make chart` with a network to get it; candles are at /candles meanwhile.");
  else if (!series.candles.length) note(`No candles of ${series.symbol} yet`, "They appear here as they come.");
  else note("");
  legend();
  const partial = series.candles.filter((candle) => candle.state === "partial").length;
  const gaps = series.holes.length;
  $("count").textContent = `${series.candles.length} candles · ${partial} partial · ${gaps} ${gaps === 1 ? "gap" : "gaps"}`;
}

function legend() {
  const { series, symbol, interval, exchange } = shown;
  const candle = hovered ? hovered.candle : series.last;
  const gap = hovered?.hole;
  const title = made("h1", symbol);
  const where = made("span", [interval, exchange].filter(Boolean).join(" · "), "where");
  const row = made("div", "", "row");
  if (candle) row.append(...figures(candle, series));
  if (gap) row.append(made("span", `missing ${between(gap)} · ${gap.cause}`, "hole"));
  $("legend").replaceChildren(title, where, row);
}

function figures(candle, series) {
  const digits = decimals(series.candles);
  const before = series.candles[series.candles.indexOf(candle) - 1]?.close ?? candle.open;
  const change = candle.close - before;
  const trend = candle.close >= candle.open ? "up" : "down";
  const sign = change > 0 ? "+" : "";
  const percent = before ? ` (${sign}${((100 * change) / before).toFixed(2)}%)` : "";
  const parts = ["open", "high", "low", "close"].map((name) => figure(name[0].toUpperCase(), candle[name].toFixed(digits), trend));
  parts.push(made("span", `${sign}${change.toFixed(digits)}${percent}`, change < 0 ? "down" : "up"));
  if (candle.volume !== null) parts.push(figure("Vol", quantity(candle.volume)));
  if (candle.oi !== null) parts.push(figure("OI", quantity(candle.oi), "more"));
  if (candle.trades !== null) parts.push(figure("Updates", quantity(candle.trades), "more"));
  parts.push(figure("Source", candle.source, "more"));
  if (candle.state !== "final") parts.push(made("span", candle.state, candle.state === "partial" ? "doubt" : "where"));
  return parts;
}

function figure(name, value, tone = "") {
  const whole = made("span", "", tone === "more" ? "more" : "");
  whole.append(made("em", name), made("span", value, tone));
  return whole;
}

function between({ start, end }) {
  const shift = ZONES[chart.zone];
  const seconds = (start % 60 || end % 60) !== 0;
  return `${clock(start + shift, seconds)}–${clock(end + shift, seconds)}`;
}

function made(tag, text, name = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (name) element.className = name;
  return element;
}

// --- controls

function mark(interval) {
  for (const button of $("intervals").children) {
    button.setAttribute("aria-checked", String(button.textContent === interval));
  }
}

function setZone(zone) {
  $("zone").textContent = zone;
  if (chart) chart.zone = zone;
}

let skew = 0; // server's clock less ours, ms
setInterval(() => {
  const zone = $("zone").textContent;
  $("clock").textContent = `${dateTime(Math.floor((Date.now() + skew) / 1000) + ZONES[zone], { seconds: true })} ${zone}`;
}, 1000);

for (const interval of Object.keys(SECONDS)) {
  const button = made("button", interval);
  button.type = "button";
  button.setAttribute("role", "radio");
  button.addEventListener("click", () => interval !== shown.interval && look(shown.symbol, interval));
  $("intervals").append(button);
}
$("zone").addEventListener("click", () => {
  const zone = $("zone").textContent === "IST" ? "UTC" : "IST";
  kept.set("zone", zone);
  setZone(zone);
  if (shown.series?.ready) chart?.draw();
  if (shown.series?.ready) legend();
});

const light = matchMedia("(prefers-color-scheme: light)");
function paint() {
  document.documentElement.dataset.theme = kept.get("theme") ?? (light.matches ? "light" : "dark");
  chart?.paint();
}
$("theme").addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "light" ? "dark" : "light";
  if ((next === "light") === light.matches) localStorage.removeItem("mdingest.theme");
  else kept.set("theme", next);
  paint();
});
light.addEventListener("change", paint);
$("latest").addEventListener("click", () => chart.latest());

// --- start

paint();
if (globalThis.LightweightCharts) {
  chart = new Chart($("chart"), {
    hover: (candle, hole) => {
      hovered = candle || hole ? { candle, hole } : null;
      if (shown.series?.ready) legend();
    },
    older,
    away: (isAway) => ($("latest").hidden = !isAway),
  });
}
mark(shown.interval);
for (;;) {
  await symbols();
  if (known.length) break;
  note("Nothing is stored yet", "Candles appear as soon as a feed delivers or a backfill ran.");
  await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
}
search.symbols = known;
const asked = new URLSearchParams(location.search);
const wish = [asked.get("symbol"), kept.get("symbol")].find((symbol) => known.some((row) => row.symbol === symbol));
const interval = [asked.get("interval"), kept.get("interval")].find((text) => text in SECONDS) ?? "1m";
await look(wish ?? known[0].symbol, interval);
