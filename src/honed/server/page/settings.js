// Sampling, limits and a schema: a panel of fields, kept by the browser, and the body that they make.

// Name, label, limits, and the value where the user has set none: a small model talks better sampled a little.
const FIELDS = [
  ["temperature", "Temperature", { min: 0, max: 2, step: 0.1 }, "0.7"],
  ["top_p", "Top p", { min: 0.01, max: 1, step: 0.01 }, "0.9"],
  ["top_k", "Top k", { min: 0, step: 1 }],
  ["min_p", "Min p", { min: 0, max: 1, step: 0.01 }],
  ["repetition_penalty", "Repetition penalty", { min: 0.1, max: 10, step: 0.05 }],
  ["presence_penalty", "Presence penalty", { min: -2, max: 2, step: 0.1 }],
  ["frequency_penalty", "Frequency penalty", { min: -2, max: 2, step: 0.1 }],
  ["max_tokens", "Most tokens", { min: 1, step: 1 }],
  ["seed", "Seed", { min: 0, step: 1 }],
];

/** The panel. With `chat` a box for a JSON schema too. */
function settingsPanel(chat) {
  const panel = el("div", { class: "settings" });
  for (const [name, label, limits, usual] of FIELDS) {
    const value = kept.get("set." + name, usual ?? "");
    const input = el("input", { type: "number", placeholder: "default", "data-set": name, value, ...limits });
    input.addEventListener("change", () => kept.set("set." + name, input.value));
    panel.append(el("label", {}, label, input));
  }
  const area = (name, label, placeholder) => {
    const box = el("textarea", { rows: 2, placeholder, "data-set": name });
    box.value = kept.get("set." + name, "");
    box.addEventListener("change", () => kept.set("set." + name, box.value));
    panel.append(el("label", { class: "wide" }, label, box));
  };
  area("stop", "Stop texts, a line each", "");
  if (chat) area("schema", "JSON schema that the reply must fit", '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}');
  return el("details", {}, el("summary", {}, chat ? "Sampling and schema" : "Sampling"), panel);
}

/** The fields of a request. Throws what is to be told where the schema is no JSON. */
function settingsBody(chat) {
  const body = {};
  for (const [name, , , usual] of FIELDS) {
    const value = kept.get("set." + name, usual ?? "");
    if (value !== "" && Number.isFinite(Number(value))) body[name] = Number(value);
  }
  const stop = kept.get("set.stop", "").split("\n").filter((line) => line);
  if (stop.length) body.stop = stop;
  const schema = chat ? kept.get("set.schema", "").trim() : "";
  if (schema) {
    try {
      body.response_format = { type: "json_schema", json_schema: { name: "reply", schema: JSON.parse(schema) } };
    } catch (error) {
      throw new ServerFault("The schema is no JSON: " + error.message);
    }
  }
  return body;
}
