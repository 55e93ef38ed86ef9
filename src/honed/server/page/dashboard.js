// How the server does: live numbers and charts of each model, and the last requests of this key.

const EVERY_MS = 1000;

function dashboardView() {
  const view = el("div");
  const series = new Map();
  let closed = false;
  let timer = 0;

  /** The last values of a number, drawn as a line. */
  function chart(key, label, value, unit, given) {
    const values = given ?? (series.get(key) ?? []).concat(value ?? 0).slice(-300);
    if (!given) series.set(key, values);
    const most = Math.max(1e-9, ...values);
    const step = 300 / Math.max(1, values.length - 1);
    const path = values.map((y, x) => `${x ? "L" : "M"}${(x * step).toFixed(1)} ${(98 - (94 * y) / most).toFixed(1)}`).join("");
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", "chart");
    svg.setAttribute("viewBox", "0 0 300 100");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${label}: now ${unit(values.at(-1) ?? 0)}, at most ${unit(most)}`);
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("d", path);
    svg.append(line);
    return el("figure", {}, el("figcaption", { class: "soft" }, `${label} (at most ${unit(most)})`), svg);
  }

  const card = (label, value, wide = false) => el("div", { class: wide ? "card wide" : "card" }, el("span", { class: "soft" }, label), el("b", {}, value));

  function modelPart(one) {
    const number = (rate) => rate.toFixed(rate < 10 ? 1 : 0);
    const share = (part) => `${Math.round(100 * part)} %`;
    const hits = one.prefix_cache_queries ? one.prefix_cache_hits / one.prefix_cache_queries : 0;
    const latency = (found) => [found.p50, found.p95, found.p99].map(milliseconds).join(" / ");
    return el("section", {}, el("h2", {}, one.model, " ", el("span", { class: "soft" }, one.state)),
      el("div", { class: "cards" },
        card("tokens/s", number(one.tokens_per_second)), card("running", one.running), card("waiting", one.waiting),
        card("KV cache used", share(one.kv_cache_use)), card("prefix cache hits", share(hits)), card("preemptions", one.preemptions),
        card("first token p50 / p95 / p99", latency(one.time_to_first_token), true), card("inter-token p50 / p95 / p99", latency(one.inter_token), true)),
      el("div", { class: "charts" },
        chart(one.model + "tokens", "tokens/s", null, number, one.history),
        chart(one.model + "first", "time to first token, p95", one.time_to_first_token.p95, milliseconds),
        chart(one.model + "inter", "inter-token, p99", one.inter_token.p99, milliseconds),
        chart(one.model + "queue", "waiting", one.waiting, number),
        chart(one.model + "kv", "KV cache", one.kv_cache_use, share),
        chart(one.model + "hits", "prefix cache hits", hits, share)));
  }

  function requestRow(one) {
    const cancel = ["queued", "running"].includes(one.state)
      ? el("button", { type: "button", class: "small", onclick: () => call("DELETE", "/requests/" + encodeURIComponent(one.id)).then(refresh, (error) => notice(error.message)) }, "Cancel")
      : "";
    const cells = [new Date(one.created * 1000).toLocaleTimeString(), one.model, one.route, one.finish_reason ?? one.state];
    const numbers = [`${one.prompt_tokens} (${one.cached_tokens})`, one.generated_tokens, milliseconds(one.time_to_first_token), one.tokens_per_second?.toFixed(1) ?? "–", milliseconds(one.seconds)];
    return el("tr", {}, ...cells.map((cell) => el("td", {}, cell)), ...numbers.map((cell) => el("td", { class: "number" }, cell)), el("td", {}, cancel));
  }

  async function refresh() {
    clearTimeout(timer);
    try {
      const [stats, { requests }] = await Promise.all([get("/stats"), get("/requests")]);
      if (closed) return;
      const focused = document.activeElement?.textContent === "Cancel";
      if (!focused) {
        const head = ["time", "model", "route", "state"].map((name) => el("th", {}, name));
        const more = ["prompt (cached)", "generated", "first token", "tokens/s", "took"].map((name) => el("th", { class: "number" }, name));
        view.replaceChildren(...stats.models.filter((one) => one.state !== "unloaded").map(modelPart), el("h2", {}, "Last requests"),
          el("div", { class: "scroll" }, el("table", { id: "requests" }, el("thead", {}, el("tr", {}, ...head, ...more, el("th", {}))), el("tbody", {}, ...requests.map(requestRow)))));
      }
      notice();
    } catch (error) {
      notice(error.message);
    }
    if (!closed) timer = setTimeout(refresh, EVERY_MS);
  }

  refresh();
  return { view, close: () => { closed = true; clearTimeout(timer); } };
}
