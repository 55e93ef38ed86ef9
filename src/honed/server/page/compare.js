// Two models side by side: the same prompt, and the first token at which they differ.

function compareView() {
  let running = null;
  const choice = (name) => el("select", { id: name, "aria-label": "Model" }, ...models.filter((one) => one.kind !== "embed").map((one) => el("option", {}, one.id)));
  const sides = [0, 1].map((number) => ({ select: choice("side" + number), text: el("div", { class: "plain" }), told: el("p", { class: "soft" }), tokens: [] }));
  if (sides[1].select.options.length > 1) sides[1].select.selectedIndex = 1;
  const box = el("textarea", { rows: 3, id: "both", "aria-label": "Message to both" });
  const go = el("button", { type: "submit", class: "main" }, "Ask both");
  const verdict = el("p", { role: "status" });

  function draw() {
    const [left, right] = sides.map((side) => side.tokens);
    let same = 0;
    while (same < Math.min(left.length, right.length) && left[same] === right[same]) same++;
    const differs = same < left.length && same < right.length;
    for (const { text, tokens } of sides) {
      const parts = [tokens.slice(0, same).join("")];
      if (differs) parts.push(el("mark", { title: "the first token that differs" }, tokens[same]), tokens.slice(same + 1).join(""));
      else parts.push(tokens.slice(same).join(""));
      text.replaceChildren(...parts);
    }
    return differs ? `They differ at token ${same + 1}.` : `The first ${same} tokens are the same.`;
  }

  async function ask() {
    const control = (running = new AbortController());
    go.textContent = "Stop";
    notice();
    sides.forEach((side) => { side.tokens = []; side.told.textContent = ""; });
    const body = { max_tokens: 256, ...settingsBody(true), temperature: 0, messages: [{ role: "user", content: box.value }], logprobs: true };
    await Promise.all(sides.map(async (side) => {
      try {
        const found = await stream("/v1/chat/completions", { ...body, model: side.select.value }, control.signal, {
          token: (token) => { side.tokens.push(token.token); verdict.textContent = draw(); },
        });
        side.told.textContent = [perSecond(found.rate), milliseconds(found.first) + " to first token", found.reason].filter(Boolean).join(" · ");
      } catch (error) {
        side.told.textContent = error.message;
      }
    }));
    verdict.textContent = draw();
    running = null;
    go.textContent = "Ask both";
  }

  const form = el("form", { onsubmit: (event) => { event.preventDefault(); running ? running.abort() : box.value.trim() && ask().catch((error) => notice(error.message)); } },
    settingsPanel(true), box, el("div", { class: "row" }, go, el("span", { class: "soft" }, "At temperature 0: the most probable tokens of each.")), verdict,
    el("div", { class: "two" }, ...sides.map((side) => el("section", { class: "card" }, side.select, side.text, side.told))));
  return { view: form, close: () => running?.abort() };
}
