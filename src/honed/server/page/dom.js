// Elements, and what the browser keeps. Text only ever becomes text nodes: nothing that a model writes is parsed as HTML.

/** An element: attributes (those that begin with "on" are listeners), then children, texts among them. */
function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const byId = (id) => document.getElementById(id);

/** What is told on top of the page until the next time. */
function notice(text = "") {
  byId("notice").textContent = text;
}

/** Values that the browser keeps; where it does not, they last as long as the page. */
const kept = {
  memory: {},
  get(name, otherwise) {
    try {
      const found = localStorage.getItem("honed." + name);
      return found === null ? (this.memory[name] ?? otherwise) : JSON.parse(found);
    } catch {
      return this.memory[name] ?? otherwise;
    }
  },
  set(name, value) {
    this.memory[name] = value;
    try {
      localStorage.setItem("honed." + name, JSON.stringify(value));
    } catch {
      notice("The browser keeps no more: export or delete conversations.");
    }
  },
};

const milliseconds = (seconds) =>
  seconds === null || seconds === undefined ? "–" : seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
const perSecond = (rate) => (rate ? `${rate.toFixed(1)} tokens/s` : "");

/** Has the browser save a file. */
function save(name, value) {
  const url = URL.createObjectURL(new Blob([JSON.stringify(value, null, 2)], { type: "application/json" }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
