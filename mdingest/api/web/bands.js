// Hatched bands behind the candles where something is missing: a primitive of the chart library.

const HATCH_PX = 7;

export class Bands {
  #chart = null;
  #request = () => {};
  #bands = [];
  #colours = { fill: "", line: "", text: "" };

  attached({ chart, requestUpdate }) {
    this.#chart = chart;
    this.#request = requestUpdate;
  }

  detached() {
    this.#chart = null;
  }

  /** `bands`: {from, to, label}, times as the chart knows them; both ends are points of its scale. */
  set(bands, colours) {
    this.#bands = bands;
    this.#colours = colours;
    this.#request();
  }

  updateAllViews() {}

  paneViews() {
    const view = (zOrder, paint) => ({ zOrder: () => zOrder, renderer: () => ({ draw: (target) => this.#each(target, paint) }) });
    return [view("bottom", (...place) => this.#hatch(...place)), view("top", (...place) => this.#name(...place))];
  }

  #each(target, paint) {
    if (!this.#chart || !this.#bands.length) return;
    const scale = this.#chart.timeScale();
    const half = scale.options().barSpacing / 2;
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      for (const band of this.#bands) {
        const from = scale.timeToCoordinate(band.from);
        const to = scale.timeToCoordinate(band.to);
        if (from === null || to === null || to + half < 0 || from - half > mediaSize.width) continue;
        paint(context, from - half, to + half, mediaSize.height, band.label);
      }
    });
  }

  #hatch(context, left, right, height) {
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left, height);
    context.clip();
    context.fillStyle = this.#colours.fill;
    context.fillRect(left, 0, right - left, height);
    context.strokeStyle = this.#colours.line;
    context.lineWidth = 1;
    context.beginPath();
    // Hung on the left edge of the screen, so that the hatch stands still while a band grows.
    for (let x = Math.floor((left - height) / HATCH_PX) * HATCH_PX; x < right; x += HATCH_PX) {
      context.moveTo(x, height);
      context.lineTo(x + height, 0);
    }
    context.globalAlpha = 0.45;
    context.stroke();
    context.restore();
  }

  #name(context, left, right, height, label) {
    context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    if (context.measureText(label).width + 8 <= right - left) {
      context.fillStyle = this.#colours.text;
      context.textAlign = "left";
      context.textBaseline = "bottom";
      context.fillText(label, left + 4, height - 4);
    }
  }
}
