// The chat: messages with edit and regenerate, a composer, the list of conversations.

function chatView() {
  let running = null;
  const list = el("ul", { class: "list", "aria-label": "Conversations" });
  const messages = el("div", { class: "messages", "aria-live": "off" });
  const box = el("textarea", { rows: 3, id: "prompt", "aria-label": "Message", placeholder: "Message; Enter sends, Shift+Enter is a new line, Esc stops" });
  const send = el("button", { type: "submit", class: "main", id: "send" }, "Send");
  const used = el("span", { class: "soft", id: "used" });
  const system = el("textarea", { rows: 2, id: "system", placeholder: "What the model is told first" });
  const file = el("input", { type: "file", accept: "application/json", hidden: true, onchange: take });

  if (!conversations.current) conversations.begin();

  function showList() {
    list.replaceChildren(...conversations.all.map((one) => el("li", { class: "row" },
      el("button", { type: "button", class: "grow", "aria-current": String(one.id === conversations.current.id), onclick: () => open(one.id) }, one.title || "…"),
      el("button", { type: "button", class: "small delete", "aria-label": "Delete " + one.title, onclick: () => { stop(); conversations.remove(one.id); show(); } }, "×"))));
  }

  function show() {
    system.value = conversations.current.system;
    messages.replaceChildren(...conversations.current.messages.map((message, index) => messageNode(message, index)));
    showList();
  }

  function open(id) {
    stop();
    conversations.open(id);
    show();
    box.focus();
  }

  function messageNode(message, index) {
    const body = el("div", { class: "body" });
    const footer = el("footer");
    const node = el("article", { class: "message " + message.role }, el("header", {}, message.role === "user" ? "You" : message.model ?? "Reply"), body, footer);
    fill(node, message);
    if (message.role === "user") footer.append(el("button", { type: "button", class: "small", onclick: () => edit(node, index) }, "Edit"));
    else footer.append(el("button", { type: "button", class: "small", onclick: () => regenerate(index) }, "Regenerate"));
    footer.append(el("button", { type: "button", class: "small", onclick: () => navigator.clipboard?.writeText(message.content) }, "Copy"));
    return node;
  }

  function fill(node, message, writing = false) {
    const body = node.querySelector(".body");
    const parts = [];
    if (message.reasoning) parts.push(el("details", { open: writing && !message.content }, el("summary", {}, "Reasoning"), el("div", { class: "plain" }, message.reasoning)));
    parts.push(...(message.role === "user" ? [el("div", { class: "plain" }, message.content)] : markdown(message.content)));
    body.replaceChildren(...parts);
    body.classList.toggle("writing", writing);
    node.querySelector(".told")?.remove();
    if (message.told) node.querySelector("footer").prepend(el("span", { class: "told" }, message.told));
  }

  function edit(node, index) {
    stop();
    const area = el("textarea", { rows: 4, "aria-label": "Edited message" });
    area.value = conversations.current.messages[index].content;
    const done = () => {
      conversations.current.messages.length = index;
      ask(area.value);
    };
    area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); done(); }
      if (event.key === "Escape") show();
    });
    node.querySelector(".body").replaceChildren(area, el("button", { type: "button", class: "main small", onclick: done }, "Send"), " ", el("button", { type: "button", class: "small", onclick: show }, "Leave"));
    area.focus();
  }

  function regenerate(index) {
    stop();
    conversations.current.messages.length = index;
    reply();
  }

  function ask(text) {
    if (!text.trim()) return;
    conversations.current.messages.push({ role: "user", content: text });
    box.value = "";
    reply();
  }

  async function reply() {
    const one = conversations.current;
    const message = { role: "assistant", content: "", reasoning: "", model: currentModel() };
    const sent = one.messages.map(({ role, content }) => ({ role, content }));
    if (one.system.trim()) sent.unshift({ role: "system", content: one.system });
    one.messages.push(message);
    show();
    const node = messages.lastElementChild;
    fill(node, message, true);
    const control = (running = new AbortController());
    send.textContent = "Stop";
    notice();
    let drawn = false;
    const draw = () => {
      if (drawn) return;
      drawn = true;
      requestAnimationFrame(() => {
        drawn = false;
        const down = innerHeight + scrollY > document.body.scrollHeight - 120;
        if (running === control) fill(node, message, true);
        if (down) scrollTo(0, document.body.scrollHeight);
      });
    };
    try {
      const found = await stream("/v1/chat/completions", { ...settingsBody(true), model: currentModel(), messages: sent }, control.signal, {
        text: (text) => { message.content += text; draw(); },
        reasoning: (text) => { message.reasoning += text; draw(); },
      });
      message.told = told(found);
      showUsed(found.usage);
    } catch (error) {
      message.told = error.message;
      notice(error.message);
    }
    if (running === control) running = null;
    send.textContent = "Send";
    conversations.current === one && conversations.keep();
    if (!message.content && !message.reasoning && message.told) one.messages.pop();
    fill(node, message);
    showList();
  }

  function told(found) {
    const parts = [perSecond(found.rate), found.first === null ? "" : milliseconds(found.first) + " to first token"];
    if (found.usage) parts.push(`${found.usage.completion_tokens} tokens`);
    const cached = found.usage?.prompt_tokens_details?.cached_tokens;
    if (cached) parts.push(`${cached} of ${found.usage.prompt_tokens} prompt tokens cached`);
    if (found.stopped) parts.push("stopped");
    else if (found.reason === "length") parts.push("cut at the most tokens");
    return parts.filter(Boolean).join(" · ");
  }

  function showUsed(usage) {
    const most = currentContext();
    if (usage && most) used.textContent = `${usage.prompt_tokens + usage.completion_tokens} of ${most} tokens of the context used`;
  }

  function stop() {
    running?.abort();
    running = null;
  }

  async function take() {
    try {
      conversations.take(JSON.parse(await file.files[0].text()));
      showList();
    } catch (error) {
      notice(error.message);
    }
    file.value = "";
  }

  system.addEventListener("change", () => {
    conversations.current.system = system.value;
    kept.set("system", system.value);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      if (!running) ask(box.value);
    }
  });
  const escape = (event) => event.key === "Escape" && stop();
  document.addEventListener("keydown", escape);

  const view = el("div", { class: "chat" },
    el("nav", { "aria-label": "Conversations" },
      el("div", { class: "row" },
        el("button", { type: "button", id: "new", onclick: () => { stop(); conversations.begin(); show(); box.focus(); } }, "New"),
        el("button", { type: "button", onclick: () => save("conversations.json", conversations.all) }, "Export"),
        el("button", { type: "button", onclick: () => file.click() }, "Import"), file),
      list),
    el("section", { class: "talk" },
      el("details", {}, el("summary", {}, "System prompt"), system),
      settingsPanel(true), messages,
      el("form", { class: "composer", onsubmit: (event) => { event.preventDefault(); running ? stop() : ask(box.value); } },
        box, el("div", { class: "row" }, used, el("span", { class: "grow" }), send))));
  show();
  return { view, close: () => { stop(); document.removeEventListener("keydown", escape); } };
}
