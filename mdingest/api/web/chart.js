// The drawing of one series with the chart library; everything the library must know is in here.

import { Bands } from "./bands.js";
import { ZONES, dateTime, decimals, span, tick } from "./format.js";

const LONGEST_BAND = 40; // bars that a hole is given room for; its label says how long it really was
const LONGEST_END = 14; // the same of a hole that lasts
const AWAY = 3; // bars that the newest may be out of sight
const MARGIN = 6; // bars between the newest and the price scale
const OLDER_AT = 30; // bars left of the view when older ones are asked for

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Chart {
  #chart;
  #bars;
  #volume;
  #bands = new Bands();
  #series = null;
  #holes = [];
  #colours = {};
  #last = null;
  #margin = MARGIN;
  #end = 0; // index of the newest candle on the time scale

  /** `on`: hover(candle or null, hole or null), older(), away(isAway). Throws without the library. */
  constructor(element, on) {
    const { createChart, CandlestickSeries, HistogramSeries, CrosshairMode } = globalThis.LightweightCharts;
    this.zone = "UTC";
    this.#chart = createChart(element, {
      autoSize: true,
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: { rightOffset: MARGIN, minBarSpacing: 1, tickMarkFormatter: tick, borderVisible: false },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.14, bottom: 0.24 } },
      localization: { timeFormatter: (time) => this.#timeText(time) },
      layout: { attributionLogo: true, fontFamily: 'system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif' },
    });
    this.#volume = this.#chart.addSeries(HistogramSeries, {
      priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false,
    });
    this.#volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.#bars = this.#chart.addSeries(CandlestickSeries, { borderVisible: true });
    this.#bars.attachPrimitive(this.#bands);
    this.#chart.subscribeCrosshairMove((event) => {
      const at = event.time === undefined ? null : event.time - this.#shift;
      on.hover(at === null ? null : this.#candleAt(at), at === null ? null : this.#holeAt(at));
    });
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (!range || !this.#series) return;
      if (range.from < OLDER_AT) on.older();
      on.away(range.to < this.#end - AWAY);
    });
    this.paint();
  }

  /** Take the colours of the page anew. */
  paint() {
    const text = style("--faint");
    const names = { up: "--up", down: "--down", doubt: "--doubt", band: "--band", bandLine: "--band-line" };
    this.#colours = Object.fromEntries(Object.entries(names).map(([key, name]) => [key, style(name)]));
    this.#chart.applyOptions({
      layout: { background: { color: style("--ground") }, textColor: text },
      grid: { vertLines: { color: style("--grid") }, horzLines: { color: style("--grid") } },
      crosshair: {
        vertLine: { color: text, labelBackgroundColor: style("--line") },
        horzLine: { color: text, labelBackgroundColor: style("--line") },
      },
    });
    const { up, down } = this.#colours;
    this.#bars.applyOptions({
      upColor: up, borderUpColor: up, wickUpColor: up, downColor: down, borderDownColor: down, wickDownColor: down,
    });
    if (this.#series) this.draw();
  }

  /** Another series: drawn from its end. */
  show(series) {
    this.#series = series;
    const digits = decimals(series.candles);
    this.#bars.applyOptions({ priceFormat: { type: "price", precision: digits, minMove: 10 ** -digits } });
    this.#chart.timeScale().applyOptions({ timeVisible: !series.daily, secondsVisible: series.step < 60 });
    this.draw();
    this.#bars.priceScale().applyOptions({ autoScale: true });
    this.#chart.timeScale().applyOptions({ barSpacing: innerWidth < 500 ? 6 : 8 });
    this.#chart.timeScale().scrollToPosition(this.#margin, false);
  }

  /** Everything anew; the view stays where it is. */
  draw() {
    const { points, bands } = this.#layout();
    this.#end = points.findLastIndex((point) => point.open !== undefined);
    this.#bars.setData(points.map((point) => this.#bar(point)));
    this.#volume.setData(points.map((point) => this.#volumeBar(point)));
    this.#holes = bands;
    const { band, bandLine, doubt } = this.#colours;
    this.#bands.set(bands, { fill: band, line: bandLine, text: doubt });
    this.#last = this.#series.last?.time ?? null;
    this.#settle(points.length - 1 - this.#end);
  }

  /** Keep what follows the newest candle in sight, unless a person looks elsewhere. */
  #settle(room) {
    const margin = Math.max(MARGIN, room && room + 2);
    const scale = this.#chart.timeScale();
    if (margin !== this.#margin && scale.scrollPosition() > 0) scale.applyOptions({ rightOffset: margin });
    this.#margin = margin;
    this.#priceLine();
  }

  #priceLine() {
    const last = this.#series.last;
    if (last) this.#bars.applyOptions({ priceLineColor: this.#own(last) });
  }

  #own(candle) {
    return candle.close >= candle.open ? this.#colours.up : this.#colours.down;
  }

  /** Only the newest candles changed. */
  drawLast() {
    const { candles } = this.#series;
    const from = candles.findLastIndex((candle) => candle.time <= this.#last);
    if (this.#last === null || from < 0 || this.#holes.some((one) => one.start >= this.#last)) {
      this.draw();
      return;
    }
    this.#end += candles.length - 1 - from;
    for (const candle of candles.slice(from)) {
      this.#bars.update(this.#bar(candle));
      this.#volume.update(this.#volumeBar(candle));
    }
    this.#last = candles.at(-1).time;
    this.#priceLine();
  }

  /** Back to the newest candle. */
  latest() {
    this.#chart.timeScale().scrollToPosition(this.#margin, false);
  }

  get #shift() {
    return this.#series?.daily ? 0 : ZONES[this.zone];
  }

  #timeText(shifted) {
    const { daily, step } = this.#series ?? {};
    return dateTime(shifted, { daily, seconds: step < 60 }) + (daily ? "" : ` ${this.zone}`);
  }

  #bar(point) {
    const time = point.time + this.#shift;
    if (point.open === undefined) return { time };
    const bar = { time, open: point.open, high: point.high, low: point.low, close: point.close };
    const own = this.#own(point);
    const { doubt } = this.#colours;
    if (point.state === "partial") Object.assign(bar, { color: "transparent", borderColor: doubt, wickColor: doubt });
    if (point.state === "forming") bar.color = faded(own, 0.45);
    return bar;
  }

  #volumeBar(point) {
    const time = point.time + this.#shift;
    if (point.open === undefined || point.volume === null) return { time };
    const own = this.#own(point);
    return { time, value: point.volume, color: faded(point.state === "partial" ? this.#colours.doubt : own, 0.4) };
  }

  /** Candles, and room where something is missing between or after them. */
  #layout() {
    const { candles, holes, step } = this.#series;
    const points = [];
    const bands = [];
    let at = 0;
    candles.forEach((candle, n) => {
      points.push(candle);
      const open = candle.time + step;
      const until = candles[n + 1]?.time ?? Infinity;
      if (until === open) return;
      while (at < holes.length && holes[at].end <= open) at += 1;
      for (let k = at; k < holes.length && holes[k].start < until; k += 1) {
        const band = this.#room(holes[k], open, until, points.at(-1).time);
        if (!band.length) continue;
        points.push(...band.map((time) => ({ time })));
        const shift = this.#shift;
        const { start, end, cause } = holes[k];
        bands.push({ from: band[0] + shift, to: band.at(-1) + shift, start, end, cause, label: `${cause} ${span(end - start)}` });
      }
    });
    return { points, bands };
  }

  /** Opening times of the bars that lie wholly in a hole, on the grid of the candle before. */
  #room(hole, open, until, after) {
    const { step } = this.#series;
    const from = Math.max(open + Math.ceil((hole.start - open) / step) * step, open, after + step);
    const times = [];
    const most = until === Infinity ? LONGEST_END : LONGEST_BAND;
    for (let time = from; time + step <= Math.min(hole.end, until) && times.length < most; time += step) times.push(time);
    return times;
  }

  #candleAt(time) {
    const { candles } = this.#series;
    let low = 0;
    let high = candles.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (candles[middle].time === time) return candles[middle];
      if (candles[middle].time < time) low = middle + 1;
      else high = middle - 1;
    }
    return null;
  }

  #holeAt(time) {
    const shifted = time + this.#shift;
    const band = this.#holes.find((one) => shifted >= one.from && shifted <= one.to);
    if (band) return band;
    const { holes, step } = this.#series;
    return holes.find((one) => one.start < time + step && time < one.end) ?? null;
  }
}

/** A colour of the page, `#rrggbb`, with an opacity. */
function faded(colour, opacity) {
  return colour + Math.round(opacity * 255).toString(16).padStart(2, "0");
}
