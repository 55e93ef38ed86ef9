// Markdown to elements: what chat models write of it (headings, lists, tables, quotes, code, emphasis, links).

const INLINE = /(`+)([\s\S]+?)\1|\*\*([^*]+?)\*\*|__([^_]+?)__|\*([^*\s][^*]*?)\*|(?<!\w)_([^_\s][^_]*?)_(?!\w)|~~([^~]+?)~~|\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)|(https?:\/\/[^\s<>()]+[^\s<>().,;:!?'"])/g;

/** Text with emphasis, code and links, as nodes. */
function inline(text) {
  const nodes = [];
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    nodes.push(text.slice(from, found.index));
    from = found.index + found[0].length;
    const [whole, , code, strong, strong2, em, em2, gone, label, url, bare] = found;
    if (code !== undefined) nodes.push(el("code", {}, code.replace(/^ (.*) $/s, "$1")));
    else if (strong ?? strong2) nodes.push(el("strong", {}, ...inline(strong ?? strong2)));
    else if (em ?? em2) nodes.push(el("em", {}, ...inline(em ?? em2)));
    else if (gone) nodes.push(el("s", {}, ...inline(gone)));
    else if (url) nodes.push(link(url, label));
    else if (bare) nodes.push(link(bare, bare));
    else nodes.push(whole);
  }
  nodes.push(text.slice(from));
  return nodes.filter((node) => node !== "");
}

const link = (url, label) => el("a", { href: url, rel: "noopener noreferrer nofollow", target: "_blank" }, label);

/** A whole text as nodes. One that is still being written gives what is there. */
function markdown(text) {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const nodes = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    const fence = line.match(/^\s{0,3}(```+|~~~+)\s*([\w+#.-]*)/);
    if (fence) {
      const body = [];
      for (at++; at < lines.length && !lines[at].trim().startsWith(fence[1]); at++) body.push(lines[at]);
      at++;
      nodes.push(codeBlock(body.join("\n"), fence[2]));
    } else if (/^\s*$/.test(line)) {
      at++;
    } else if (/^#{1,6}\s/.test(line)) {
      const level = line.match(/^#+/)[0].length;
      nodes.push(el("h" + Math.min(6, level + 1), {}, ...inline(line.slice(level).trim())));
      at++;
    } else if (/^\s{0,3}([-*_])(\s*\1){2,}\s*$/.test(line)) {
      nodes.push(el("hr"));
      at++;
    } else if (/^\s{0,3}>/.test(line)) {
      const body = [];
      for (; at < lines.length && /^\s{0,3}>/.test(lines[at]); at++) body.push(lines[at].replace(/^\s{0,3}> ?/, ""));
      nodes.push(el("blockquote", {}, ...markdown(body.join("\n"))));
    } else if (ITEM.test(line)) {
      const [list, next] = listAt(lines, at);
      nodes.push(list);
      at = next;
    } else if (line.includes("|") && /^\s*\|?[\s:|-]*-[\s:|-]*\|[\s:|-]*$/.test(lines[at + 1] ?? "")) {
      const rows = [];
      for (; at < lines.length && lines[at].includes("|"); at++) rows.push(cells(lines[at]));
      nodes.push(tableOf(rows[0], rows.slice(2)));
    } else {
      const body = [];
      for (; at < lines.length && !/^\s*$/.test(lines[at]) && !/^\s{0,3}(```|~~~|#{1,6}\s|>)/.test(lines[at]) && (body.length === 0 || !ITEM.test(lines[at])); at++)
        body.push(lines[at]);
      nodes.push(el("p", {}, ...inline(body.join("\n"))));
    }
  }
  return nodes;
}

const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+/;
const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());

/** The list that begins at a line, and the line behind it. */
function listAt(lines, start) {
  const [, indent, mark] = lines[start].match(ITEM);
  const ordered = /\d/.test(mark);
  const list = el(ordered ? "ol" : "ul", ordered && parseInt(mark) !== 1 ? { start: parseInt(mark) } : {});
  let at = start;
  while (at < lines.length) {
    const found = lines[at].match(ITEM);
    if (!found || found[1].length !== indent.length || /\d/.test(found[2]) !== ordered) break;
    const body = [lines[at].slice(found[0].length)];
    for (at++; at < lines.length; at++) {
      const inner = lines[at].match(/^(\s*)/)[1].length > indent.length;
      if (!inner && !(/^\s*$/.test(lines[at]) && /^\s+\S/.test(lines[at + 1] ?? ""))) break;
      body.push(lines[at].slice(Math.min(found[0].length, lines[at].match(/^\s*/)[0].length)));
    }
    list.append(el("li", {}, ...(body.length === 1 ? inline(body[0]) : markdown(body.join("\n")))));
    while (/^\s*$/.test(lines[at] ?? "x") && ITEM.test(lines[at + 1] ?? "")) at++;
  }
  return [list, at];
}

function tableOf(head, rows) {
  const row = (items, kind) => el("tr", {}, ...items.map((item) => el(kind, {}, ...inline(item))));
  return el("div", { class: "scroll" }, el("table", {}, el("thead", {}, row(head, "th")), el("tbody", {}, ...rows.map((items) => row(items, "td")))));
}

function codeBlock(text, language) {
  const copy = el("button", { type: "button", class: "small", onclick: () => navigator.clipboard?.writeText(text) }, "Copy");
  return el("div", { class: "code" }, copy, el("pre", {}, el("code", language ? { "data-language": language } : {}, text)));
}
