"use strict";
/* The trajectory browser of a release's report. Whatever comes from records is set as text, never as markup. */
(function () {
  const episodes = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const DEEPEST = 150;

  /* el("tag.class", {attribute: value}, child, ...): strings become text nodes. */
  function el(what, attributes, ...children) {
    const [tag, ...classes] = what.split(".");
    const made = document.createElement(tag);
    if (classes.length) made.className = classes.join(" ");
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value === true) made.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
    }
    made.append(...present(children));
    return made;
  }
  const present = (children) => children.flat(9).filter((child) => child !== null && child !== undefined && child !== "");

  /* ---- JSON text, read so that every number keeps its digits -------------------------------------------------- */
  const SCALAR = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null/y;
  const BLANK = /\s*/y;

  function readJson(text, start) {
    let at = start;
    const blank = () => { BLANK.lastIndex = at; BLANK.exec(text); at = BLANK.lastIndex; };
    const expect = (one) => { if (text[at] !== one) throw new Error("not JSON"); at += 1; };
    function scalar() {
      SCALAR.lastIndex = at;
      const found = SCALAR.exec(text);
      if (!found) throw new Error("not JSON");
      at = SCALAR.lastIndex;
      return found[0];
    }
    function value(depth) {
      if (depth > DEEPEST) throw new Error("too deep");
      blank();
      const close = text[at] === "{" ? "}" : text[at] === "[" ? "]" : null;
      if (!close) return { raw: scalar() };
      const node = { keys: close === "}" ? [] : null, items: [] };
      at += 1;
      blank();
      if (text[at] === close) { at += 1; return node; }
      for (;;) {
        if (node.keys) {
          blank();
          if (text[at] !== '"') throw new Error("not JSON");
          node.keys.push(unquoted(scalar()));
          blank();
          expect(":");
        }
        node.items.push(value(depth + 1));
        blank();
        if (text[at] === close) { at += 1; return node; }
        expect(",");
      }
    }
    return [value(0), () => at];
  }

  function unquoted(raw) {
    try { return JSON.parse(raw); } catch { return raw; }
  }

  /* A text as [before, tree, after]; without JSON in it, all of it is before. */
  function parts(text) {
    let start = text.search(/[{[]/);
    for (let tries = 0; start >= 0 && tries < 4; tries += 1) {
      try {
        const [node, end] = readJson(text, start);
        if (node.items && node.items.length) return [text.slice(0, start), node, text.slice(end())];
      } catch { /* no JSON from here on */ }
      const next = text.slice(start + 1).search(/[{[]/);
      start = next < 0 ? -1 : start + 1 + next;
    }
    return [text, null, ""];
  }

  const member = (node, key) => (node && node.keys && node.keys.includes(key) ? node.items[node.keys.indexOf(key)] : null);
  const word = (node) => (node && node.raw !== undefined ? String(unquoted(node.raw)) : "");
  function digits(node) { return node && node.raw !== undefined ? (node.raw[0] === '"' ? unquoted(node.raw) : node.raw) : ""; }
  const first = (node) => (node && !node.keys && node.items ? node.items[0] : null);

  /* What a resource is about, in a few words. */
  function hint(node) {
    const inner = member(node, "resource") || node;
    const type = word(member(inner, "resourceType"));
    if (!type) return "";
    if (type === "Bundle") {
      const entries = member(inner, "entry");
      const shown = entries && entries.items ? entries.items.length : 0;
      const total = digits(member(inner, "total"));
      const next = ((member(inner, "link") || {}).items || []).some((link) => word(member(link, "relation")) === "next");
      return `Bundle, ${shown}${total && total !== String(shown) ? ` of ${total}` : ""} ${shown === 1 ? "entry" : "entries"}${next ? ", more pages" : ""}`;
    }
    const name = first(member(inner, "name"));
    const concept = member(inner, "code") || member(inner, "medicationCodeableConcept");
    const quantity = member(inner, "valueQuantity");
    const about = [
      name ? [word(first(member(name, "given"))), word(member(name, "family"))].filter(Boolean).join(" ") : "",
      concept && (word(member(concept, "text")) || word(member(first(member(concept, "coding")), "display")) || word(member(first(member(concept, "coding")), "code"))),
      quantity ? `${digits(member(quantity, "value"))} ${word(member(quantity, "unit"))}`.trim() : word(member(inner, "valueString")),
      word(member(first(member(inner, "issue")), "diagnostics")),
      word(member(inner, "birthDate") || member(inner, "effectiveDateTime") || member(inner, "authoredOn")),
    ].filter(Boolean);
    return [type, ...about].join(" · ");
  }

  const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

  /* ---- A JSON tree; what is folded is drawn when it is opened -------------------------------------------------- */
  function tree(node, whole) { return el("div.tree", {}, branch(null, node, 0, true, whole)); }

  /* What is left of a line after a value; below 0 it does not fit. */
  function room(node, left) {
    if (node.raw !== undefined) return left - node.raw.length;
    for (let n = 0; n < node.items.length && left >= 0; n += 1)
      left = room(node.items[n], left - 2 - (node.keys ? node.keys[n].length + 2 : 0));
    return left;
  }
  function scalarNode(raw) {
    return el(raw[0] === '"' ? "span.string" : /^[-\d]/.test(raw) ? "span.number-value" : "span.word", {}, raw);
  }
  function inlineNode(node) {
    if (node.raw !== undefined) return scalarNode(node.raw);
    const open = node.keys ? "{" : "[", close = node.keys ? "}" : "]";
    return el("span", {}, open, node.items.map((item, n) => [n ? ", " : "", node.keys ? el("span.key-name", {}, `${node.keys[n]}: `) : "", inlineNode(item)]), close);
  }
  function branch(key, node, depth, open, whole) {
    const label = key === null ? "" : el("span.key-name", {}, `${key}: `);
    if (node.raw !== undefined || (depth > 0 && room(node, 88) >= 0)) return el("div.row", {}, label, inlineNode(node));
    const about = hint(node);
    const shown = about || `${node.keys ? "{" : "["} ${node.items.length} ${node.keys ? "}" : "]"}`;
    const kids = el("div.kids");
    const folded = el("details", {}, el("summary", {}, label, el("span.hint", {}, cut(shown, 160))), kids);
    let drawn = false;
    function draw() {
      if (drawn) return;
      drawn = true;
      node.items.forEach((item, n) => {
        const deeper = whole || depth < 1 && Boolean(node.keys) && ["entry", "code", "valueQuantity", "issue"].includes(node.keys[n]);
        kids.append(branch(node.keys ? node.keys[n] : null, item, depth + 1, deeper, whole));
      });
    }
    folded.addEventListener("toggle", () => { if (folded.open) draw(); });
    if (open) { draw(); folded.open = true; }
    return folded;
  }

  /* ---- An episode as steps: what was said, what came back ------------------------------------------------------ */
  function stepsOf(messages) {
    const steps = [];
    for (const [role, text] of messages) {
      if (role === "assistant") steps.push({ said: text, reply: null });
      else if (steps.length) {
        const last = steps[steps.length - 1];
        last.reply = last.reply === null ? text : `${last.reply}\n\n${text}`;
      }
    }
    return steps;
  }

  function decoded(text) {
    try { return decodeURIComponent(text.replace(/\+/g, " ")); } catch { return text; }
  }

  /* The verb of a raw text, what it asks for in a few words, and its parameters. */
  function asked(raw) {
    const found = /^(GET|POST)\s+(\S+)/.exec(raw.trim());
    if (found) {
      const [path, query] = found[2].split(/\?(.*)/s);
      const short = path.replace(/^https?:\/\/[^/]+\/(?:fhir\/)?/, "");
      const params = (query || "").split("&").filter(Boolean).map((pair) => pair.split(/=(.*)/s).slice(0, 2).map((one) => decoded(one || "")));
      return { verb: found[1], url: found[2], params, brief: short, with: params.map((pair) => pair.join("=")).join("  ") };
    }
    const call = /^(\w+)\((\{.*\})\)$/s.exec(raw.trim());
    if (call) return called(call[1], call[2]);
    const ended = /^FINISH\(/.test(raw.trim());
    return { verb: ended ? "FINISH" : "TEXT", url: "", params: [], with: "", brief: ended ? raw.trim().replace(/^FINISH\(|\)$/g, "") : raw.trim() };
  }

  /* A native tool call: short arguments as parameters, texts of several lines and JSON on their own. */
  function called(name, text) {
    let node;
    try { [node] = readJson(text, 0); } catch { return { verb: name, url: "", params: [], with: "", brief: text }; }
    const given = node.items.map((item, n) => [node.keys[n], item.raw === undefined ? text : String(unquoted(item.raw))]);
    const long = (value) => value.includes("\n") || /^\s*[{[]/.test(value);
    const told = (value) => { const [before, tree] = parts(value); return (tree && hint(tree)) || before.trim().split("\n")[0] || value; };
    return {
      verb: name, url: "", brief: "", with: given.map((pair) => cut(told(pair[1]), 160)).join("  "),
      params: given.filter((pair) => !long(pair[1])), texts: given.filter((pair) => long(pair[1])),
    };
  }

  function outcome(reply) {
    if (reply === null) return "";
    const [before, node] = parts(reply);
    const status = /^Status .*/m.exec(reply);
    return cut((node && hint(node)) || (status ? status[0] : before.trim().split("\n")[0]), 140);
  }

  function shownText(text, whole) {
    const [before, node, after] = parts(text);
    return [before.trim() && el("p.said", {}, before.trim()), node && tree(node, whole), after.trim() && el("p.said", {}, after.trim())];
  }

  /* ---- State --------------------------------------------------------------------------------------------------- */
  const state = { episode: null, step: 0, all: false, correct: false, filtered: [] };
  const selects = { verdict: byId("by-verdict"), family: byId("by-family"), branch: byId("by-branch"), split: byId("by-split"), origin: byId("by-origin") };
  const searchBox = byId("by-text");

  function values(name, among) { return [...new Set(among.map((one) => one[name]))].sort(); }
  function fill(select, name, among) {
    const before = select.value;
    const found = values(name, among);
    select.replaceChildren(el("option", { value: "" }, `all (${found.length})`), ...found.map((one) => el("option", { value: one }, one)));
    select.value = found.includes(before) ? before : "";
    select.parentElement.hidden = name === "origin" && found.length < 2;
  }
  function fits(one) {
    const wanted = searchBox.value.trim().toLowerCase();
    return Object.entries(selects).every(([name, select]) => !select.value || one[name] === select.value)
      && (!wanted || one.id.startsWith(wanted) || one.messages.some((message) => message[1].toLowerCase().includes(wanted)));
  }
  function refilter() {
    fill(selects.branch, "branch", episodes.filter((one) => !selects.family.value || one.family === selects.family.value));
    state.filtered = episodes.filter(fits);
    byId("count").textContent = `${state.filtered.length} of ${episodes.length} episodes shown here`;
    byId("list").replaceChildren(...state.filtered.map((one) => el("li", {}, el("button", { type: "button", "data-key": one.key, onclick: () => choose(one, true) },
      el("span.what", {}, el(`span.dot.${one.verdict}`, { title: one.verdict }), one.family),
      el("span.how", {}, `${one.branch} · ${one.split}${one.verdict === "rejected" ? ` · ${one.about || one.mutant}` : one.origin === "model" ? " · model" : ""}`)))));
    if (!state.filtered.length) byId("list").append(el("li", {}, el("p.nothing", {}, "No episode fits these filters.")));
    if (!state.filtered.includes(state.episode)) choose(state.filtered[0] || null, false);
    else mark();
  }
  function mark() {
    for (const button of byId("list").querySelectorAll("button")) {
      const here = state.episode !== null && button.dataset.key === String(state.episode.key);
      if (here) button.setAttribute("aria-current", "true"); else button.removeAttribute("aria-current");
      if (here) {
        const list = byId("list"), top = button.offsetTop - list.offsetTop;
        if (top < list.scrollTop || top + button.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top - 40;
      }
    }
  }
  function choose(one, bySomeone) {
    state.episode = one;
    state.correct = false;
    state.step = parting();
    draw();
    mark();
    if (one && bySomeone) {
      history.replaceState(null, "", `#episode=${encodeURIComponent(one.key)}`);
      if (matchMedia("(max-width: 860px)").matches) byId("episode").scrollIntoView();
    }
  }
  /* The step at which a rejected episode goes wrong; the first one of any other. */
  function parting() {
    const one = state.episode;
    return one && one.fork !== undefined ? stepsOf(one.messages.slice(0, one.fork)).length : 0;
  }
  function messages() {
    const one = state.episode;
    return state.correct && one.chosen ? [...one.messages.slice(0, one.fork), ...one.chosen] : one.messages;
  }

  /* ---- Drawing an episode -------------------------------------------------------------------------------------- */
  function draw() {
    const pane = byId("episode"), one = state.episode;
    if (!one) { pane.replaceChildren(el("p.nothing", {}, "Nothing to show.")); return; }
    const steps = stepsOf(messages());
    const apart = one.fork === undefined ? -1 : parting();
    state.step = Math.min(state.step, steps.length - 1);
    pane.replaceChildren(...present([
      el("div.chips", {},
        el(`span.chip.${one.verdict}`, {}, one.verdict === "passed" ? "passed" : `rejected: ${one.about || one.mutant}`),
        el("span.chip", {}, one.family), el("span.chip", {}, one.branch), el("span.chip", {}, one.split),
        one.origin ? el("span.chip", {}, one.origin) : ""),
      opening(one),
      stepper(one, steps),
      steps.map((step, n) => [
        n === apart ? el(state.correct ? "p.fork.right" : "p.fork", {}, state.correct ? "the correct episode goes on like this" : "here it parts from the correct episode") : "",
        stepNode(step, n)]),
      el("p.label", {}, "The grader's checks"),
      checks(one),
      el("p.small.mono", {}, `${one.id} · sha256 ${one.hash.slice(0, 16)}…`)]));
  }
  function opening(one) {
    const text = one.messages.length ? one.messages[0][1] : "";
    const asks = text.lastIndexOf("\nQuestion: "), context = text.lastIndexOf("\nContext: ", asks);
    const full = el("details.prompt", {}, el("summary", {}, `the whole prompt, ${text.length.toLocaleString("en")} characters`), el("pre", {}, text));
    if (asks < 0 || context < 0) return [el("p.question", {}, cut(text, 400)), full];
    return [el("p.question", {}, text.slice(asks + 11)), el("p.context", {}, text.slice(context + 10, asks)), full];
  }
  function stepper(one, steps) {
    return el("div.stepper", {},
      el("button", { type: "button", id: "back", onclick: () => go(-1), disabled: state.step <= 0, "aria-label": "Step back" }, "← back"),
      el("span.where", { id: "where" }, `step ${state.step + 1} of ${steps.length}`),
      el("button", { type: "button", id: "on", onclick: () => go(1), disabled: state.step >= steps.length - 1, "aria-label": "Step on" }, "on →"),
      el("span.space"),
      one.chosen ? el("button", { type: "button", id: "correct", onclick: turn, "aria-pressed": String(state.correct) }, state.correct ? "show the mistake" : "show the correct one") : "",
      el("button", { type: "button", id: "all", onclick: toggleAll, "aria-pressed": String(state.all) }, state.all ? "one step at a time" : "open all"));
  }
  function stepNode(step, n) {
    const action = asked(step.said), current = n === state.step, open = current || state.all;
    const reply = outcome(step.reply);
    const head = el("button", { type: "button", "aria-expanded": String(open), onclick: () => { state.step = n; draw(); } },
      el("span.number", {}, String(n + 1)), el(`span.verb.${action.verb}`, {}, action.verb),
      el("span.brief", {}, el("strong", {}, cut(action.brief, 220)), action.with ? el("span.with", {}, cut(action.with, 220)) : "", open || !reply ? "" : el("div.then", {}, `→ ${reply}`)));
    return el(current ? "div.step.current" : "div.step", { "data-step": n }, head, open ? body(step, action) : "");
  }
  function body(step, action) {
    const asks = action.verb === "GET" || action.verb === "POST";
    const posted = action.verb === "POST" ? step.said.slice(step.said.indexOf("\n") + 1) : "";
    return el("div.body", {},
      el("p.label", {}, asks ? "Request" : action.texts ? "Call" : "Message"),
      asks ? el("pre", {}, `${action.verb} ${action.url}`) : action.texts ? "" : el("pre", {}, step.said),
      action.params.length ? el("dl.params", {}, action.params.map(([name, value]) => [el("dt", {}, name), el("dd.mono", {}, value)])) : "",
      posted && posted !== step.said ? shownText(posted, true) : "",
      (action.texts || []).map(([name, value]) => [el("p.label", {}, name), parts(value)[1] ? shownText(value, true) : el("pre", {}, value)]),
      step.reply === null ? "" : [el("p.label", {}, "Reply"), shownText(step.reply)]);
  }
  function checks(one) {
    if (one.verdict === "passed" || state.correct)
      return el("ul.checks", {}, (one.checks || []).map((check) => el(check.passed ? "li" : "li.failed", {}, check.name, check.detail ? el("span.detail", {}, check.detail) : "")),
        one.checks ? "" : el("li", {}, "all"));
    return el("ul.checks", {}, el("li.failed", {}, one.check, el("span.detail", {}, `the mistake: ${one.about || one.mutant} (${one.mutant})`)));
  }

  /* ---- Moving about -------------------------------------------------------------------------------------------- */
  function go(by) {
    if (!state.episode) return;
    const last = stepsOf(messages()).length - 1, next = Math.min(Math.max(state.step + by, 0), last);
    if (next === state.step) return;
    state.step = next;
    draw();
    const node = document.querySelector(`.step[data-step="${next}"]`);
    const box = node.getBoundingClientRect();
    if (box.top < 60 || box.bottom > innerHeight) node.scrollIntoView({ block: "start" });
  }
  function other(by) {
    const place = state.filtered.indexOf(state.episode) + by;
    if (place >= 0 && place < state.filtered.length) choose(state.filtered[place], true);
  }
  function toggleAll() { state.all = !state.all; draw(); }
  function turn() {
    if (!state.episode || !state.episode.chosen) return;
    state.correct = !state.correct;
    state.step = parting();
    draw();
  }
  const KEYS = {
    ArrowLeft: () => go(-1), ArrowRight: () => go(1), k: () => go(-1), j: () => go(1),
    n: () => other(1), p: () => other(-1), e: toggleAll, c: turn, "/": () => searchBox.focus(),
  };
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName || "");
    if (typing && event.key === "Escape") event.target.blur();
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });

  /* ---- Light and dark ------------------------------------------------------------------------------------------ */
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paint = (name) => { document.documentElement.dataset.theme = name; };
  paint(dark.matches ? "dark" : "light");
  dark.addEventListener("change", () => paint(dark.matches ? "dark" : "light"));
  byId("theme").addEventListener("click", () => paint(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));

  /* ---- Start --------------------------------------------------------------------------------------------------- */
  episodes.forEach((one, n) => { one.key = `${one.id}${one.mutant ? `-${one.mutant}` : ""}` || String(n); });
  for (const name of ["verdict", "family", "split", "origin"]) fill(selects[name], name, episodes);
  for (const select of Object.values(selects)) select.addEventListener("change", refilter);
  searchBox.addEventListener("input", refilter);
  byId("filters-form").addEventListener("submit", (event) => event.preventDefault());
  byId("browser").hidden = false;
  const wanted = decodeURIComponent((/^#episode=(.*)/.exec(location.hash) || ["", ""])[1]);
  const linked = episodes.find((one) => one.key === wanted);
  refilter();
  if (linked) { choose(linked, false); byId("episodes").scrollIntoView(); }
})();
