// Raw completion: a text is gone on with, as it is.

function completionView() {
  let running = null;
  const box = el("textarea", { rows: 10, id: "raw", "aria-label": "Text to go on with", class: "plain" });
  box.value = kept.get("raw", "");
  const told = el("p", { class: "soft", role: "status" });
  const go = el("button", { type: "submit", class: "main", id: "complete" }, "Complete");
  const undo = el("button", { type: "button", disabled: true }, "Undo");
  let before = "";

  async function complete() {
    before = box.value;
    undo.disabled = false;
    const control = (running = new AbortController());
    go.textContent = "Stop";
    notice();
    try {
      const found = await stream("/v1/completions", { max_tokens: 128, ...settingsBody(false), model: currentModel(), prompt: before }, control.signal, {
        text: (text) => { box.value += text; box.scrollTop = box.scrollHeight; },
      });
      told.textContent = [perSecond(found.rate), found.first === null ? "" : milliseconds(found.first) + " to first token", found.reason].filter(Boolean).join(" · ");
    } catch (error) {
      notice(error.message);
    }
    running = null;
    go.textContent = "Complete";
    kept.set("raw", box.value);
  }

  undo.addEventListener("click", () => { box.value = before; undo.disabled = true; });
  const form = el("form", { onsubmit: (event) => { event.preventDefault(); running ? running.abort() : complete(); } },
    settingsPanel(false), box, el("div", { class: "row" }, go, undo, told));
  return { view: form, close: () => running?.abort() };
}
