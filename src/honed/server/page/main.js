// The frame: tabs, the model, the key, the theme.

let models = [];
let shown = null;
const VIEWS = { Chat: chatView, Complete: completionView, Compare: compareView, Dashboard: dashboardView };

const currentModel = () => byId("model").value;
const currentContext = () => models.find((one) => one.id === currentModel())?.max_model_len;

async function showModels() {
  try {
    models = (await get("/v1/models")).data;
    notice();
  } catch (error) {
    notice(error.message);
  }
  const select = byId("model");
  const before = select.value || kept.get("model", "");
  select.replaceChildren(...models.map((one) => el("option", { value: one.id }, one.id + (one.loaded ? "" : ` (${one.state})`))));
  if (models.some((one) => one.id === before)) select.value = before;
  showLoaded();
}

function showLoaded() {
  const one = models.find((other) => other.id === currentModel());
  byId("load").textContent = one?.loaded ? "Unload" : "Load";
  byId("load").disabled = !one || one.state === "loading";
}

function show(name) {
  shown?.close();
  kept.set("tab", name);
  for (const tab of byId("tabs").children) {
    const selected = tab.textContent === name;
    tab.setAttribute("aria-selected", selected);
    tab.tabIndex = selected ? 0 : -1;
  }
  shown = VIEWS[name]();
  byId("view").replaceChildren(shown.view);
}

function setTheme(theme) {
  kept.set("theme", theme);
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

async function begin() {
  setTheme(kept.get("theme", ""));
  const tabs = byId("tabs");
  tabs.append(...Object.keys(VIEWS).map((name) => el("button", { type: "button", role: "tab", "aria-controls": "view", onclick: () => show(name) }, name)));
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = [...tabs.children];
    const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
    next.focus();
    show(next.textContent);
  });
  byId("model").addEventListener("change", () => { kept.set("model", currentModel()); showLoaded(); });
  byId("load").addEventListener("click", async () => {
    const verb = byId("load").textContent.toLowerCase();
    byId("load").disabled = true;
    await post("/models/" + verb, { model: currentModel() }).catch((error) => notice(error.message));
    await showModels();
  });
  byId("key").addEventListener("click", () => {
    const key = prompt("The key of this server; it stays in this browser.", kept.get("key", ""));
    if (key !== null) { kept.set("key", key.trim()); showModels(); }
  });
  byId("theme").addEventListener("click", () => {
    const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    setTheme(dark ? "light" : "dark");
  });
  await showModels();
  show(VIEWS[kept.get("tab", "Chat")] ? kept.get("tab", "Chat") : "Chat");
  setInterval(() => document.hidden || document.activeElement === byId("model") || showModels(), 15000);
}

begin();
