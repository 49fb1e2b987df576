// The symbol box: type a part of a symbol or a name, choose with arrows or a finger.

import { span } from "./format.js";

const SHOWN = 50;

export class Search {
  #symbols = [];
  #found = [];
  #at = 0;
  #current = "";

  /** `refresh` gives the symbols anew; `choose` is told the chosen one. */
  constructor(input, list, { refresh, choose }) {
    this.input = input;
    this.list = list;
    this.choose = choose;
    input.addEventListener("focus", async () => {
      input.select();
      this.#open("");
      this.#symbols = await refresh();
      if (!list.hidden) this.#open(input.value === this.#current ? "" : input.value);
    });
    input.addEventListener("input", () => this.#open(input.value));
    input.addEventListener("blur", () => this.#close());
    input.addEventListener("keydown", (event) => this.#key(event));
    list.addEventListener("pointerdown", (event) => event.preventDefault()); // keeps the focus
    list.addEventListener("click", (event) => {
      const row = event.target.closest("li[data-at]");
      if (row) this.#pick(Number(row.dataset.at));
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && document.activeElement !== input && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        input.focus();
      }
    });
  }

  /** What can be found before the first look is back. */
  set symbols(rows) {
    this.#symbols = rows;
  }

  set current(symbol) {
    this.#current = symbol;
    this.input.value = symbol;
  }

  #open(text) {
    const part = text.trim().toUpperCase();
    const rank = ({ symbol, name }) => {
      if (symbol.toUpperCase().startsWith(part)) return 0;
      return symbol.toUpperCase().includes(part) ? 1 : name.toUpperCase().includes(part) ? 2 : 3;
    };
    const ranked = this.#symbols.map((row) => [rank(row), row]).filter(([n]) => n < 3);
    ranked.sort((a, b) => a[0] - b[0]);
    this.#found = ranked.slice(0, SHOWN).map(([, row]) => row);
    this.#at = Math.max(0, part ? 0 : this.#found.findIndex((row) => row.symbol === this.#current));
    this.list.replaceChildren(...(this.#found.length ? this.#found.map(line) : [nothing(text)]));
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.#mark();
  }

  #close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    this.input.value = this.#current;
  }

  #mark() {
    [...this.list.children].forEach((row, n) => row.setAttribute("aria-selected", String(n === this.#at)));
    const row = this.#found.length ? this.list.children[this.#at] : null;
    row?.scrollIntoView({ block: "nearest" });
    if (row) this.input.setAttribute("aria-activedescendant", row.id);
  }

  #key(event) {
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in moves) {
      if (this.list.hidden) this.#open("");
      else if (this.#found.length) this.#at = (this.#at + moves[event.key] + this.#found.length) % this.#found.length;
      this.#mark();
    } else if (event.key === "Enter" && this.#found.length) {
      this.#pick(this.#at);
    } else if (event.key === "Escape") {
      this.input.blur();
    } else {
      return;
    }
    event.preventDefault();
  }

  #pick(at) {
    const { symbol } = this.#found[at];
    this.current = symbol;
    this.input.blur();
    this.choose(symbol);
  }
}

function line(row, at) {
  const item = element("li", "");
  item.id = `symbol-${at}`;
  item.dataset.at = at;
  item.setAttribute("role", "option");
  const last = Object.values(row.last).sort().at(-1);
  const age = last ? `${span((Date.now() - Date.parse(last)) / 1000)} ago` : "no candles";
  item.append(element("b", row.symbol), element("span", row.name), element("small", age));
  return item;
}

function nothing(text) {
  const item = element("li", text ? `Nothing stored matches ${text}` : "Nothing is stored yet");
  item.className = "none";
  return item;
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
