// Conversations as the browser keeps them: the newest first, each {id, title, system, messages}.

const conversations = {
  all: kept.get("conversations", []),
  current: null,

  begin() {
    this.current = { id: String(Date.now()) + Math.random().toString(36).slice(2), title: "", system: kept.get("system", ""), messages: [] };
    return this.current;
  },

  /** Keeps the current one; it goes to the top of the list. */
  keep() {
    const one = this.current;
    if (!one.messages.length) return;
    one.title = one.messages[0].content.slice(0, 60) || "…";
    this.all = [one, ...this.all.filter((other) => other.id !== one.id)];
    kept.set("conversations", this.all);
  },

  open(id) {
    this.current = structuredClone(this.all.find((one) => one.id === id));
    return this.current;
  },

  remove(id) {
    this.all = this.all.filter((one) => one.id !== id);
    kept.set("conversations", this.all);
    if (this.current?.id === id) this.begin();
  },

  /** Takes what was exported; what is malformed is refused as a whole. */
  take(value) {
    const given = Array.isArray(value) ? value : [value];
    const valid = (message) => typeof message?.role === "string" && typeof message?.content === "string";
    if (!given.length || !given.every((one) => Array.isArray(one?.messages) && one.messages.every(valid)))
      throw new ServerFault("The file holds no conversations that were exported here.");
    const taken = given.map((one) => ({
      id: String(one.id ?? Math.random()), title: String(one.title ?? ""), system: String(one.system ?? ""),
      messages: one.messages.map(({ role, content, reasoning, told }) => ({ role, content, reasoning, told })),
    }));
    const ids = new Set(taken.map((one) => one.id));
    this.all = [...taken, ...this.all.filter((one) => !ids.has(one.id))];
    kept.set("conversations", this.all);
  },
};
