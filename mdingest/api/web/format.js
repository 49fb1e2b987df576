// Numbers, times and spans as a person reads them. Instants are epoch seconds, UTC.

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const INDIAN = new Set(["NSE", "BSE", "NFO", "BFO", "MCX", "CDS", "BCD"]);
export const ZONES = { IST: 19_800, UTC: 0 };

/** The zone in which an exchange names its hours, of those we offer. */
export const zoneOf = (exchange) => (INDIAN.has(exchange) ? "IST" : "UTC");

const two = (n) => String(n).padStart(2, "0");

/** `20 Nov 2026, 09:15` of an instant that was already shifted into its zone. */
export function dateTime(shifted, { seconds = false, daily = false } = {}) {
  const at = new Date(shifted * 1000);
  const day = `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]} ${at.getUTCFullYear()}`;
  return daily ? day : `${day}, ${clock(shifted, seconds)}`;
}

/** `09:15`, or `09:15:07`. */
export function clock(shifted, seconds = false) {
  const at = new Date(shifted * 1000);
  const text = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
  return seconds ? `${text}:${two(at.getUTCSeconds())}` : text;
}

/** What stands below a mark of the time scale; `kind` as the chart library numbers it. */
export function tick(shifted, kind) {
  const at = new Date(shifted * 1000);
  if (kind === 0) return String(at.getUTCFullYear());
  if (kind === 1) return MONTHS[at.getUTCMonth()];
  if (kind === 2) return `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}`;
  return clock(shifted, kind === 4);
}

/** Decimals that these prices need: two, or more where a price has more. */
export function decimals(candles) {
  let most = 2;
  for (const candle of candles.slice(-200)) {
    for (const price of [candle.open, candle.high, candle.low, candle.close]) {
      const text = String(price);
      if (text.includes("e-")) return 8;
      most = Math.max(most, text.length - 1 - (text.includes(".") ? text.indexOf(".") : text.length - 1));
    }
  }
  return Math.min(most, 8);
}

/** `1.24M`. */
export function quantity(value) {
  if (value === null) return "none";
  for (const [size, unit] of [[1e9, "B"], [1e6, "M"], [1e4, "K"]]) {
    if (Math.abs(value) >= size) return (value / (unit === "K" ? 1e3 : size)).toFixed(2) + unit;
  }
  return Number.isInteger(value) ? value.toLocaleString("en-IN") : value.toPrecision(6);
}

/** `45 s`, `12 min`, `3 h`, `5 d`. */
export function span(seconds) {
  const s = Math.max(0, seconds);
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 172_800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86_400)} d`;
}
