"use strict";
// The annotation page. Offsets are Unicode code points everywhere but where the DOM is touched, whose strings are UTF-16.
// Text of notes reaches the page as text nodes and attribute values alone; nothing here parses markup (Trusted Types forbid it as well).

const $ = (id) => document.getElementById(id);
const AXES = [["n", "negated"], ["p", "possible"], ["h", "historical"], ["y", "hypothetical"], ["f", "family"]];
const LETTERS = {
  d: "problem", s: "finding", m: "medication", o: "dosage", w: "form", r: "route", q: "frequency", l: "duration",
  c: "procedure", t: "test", v: "value", a: "anatomy",
};
const VERDICTS = ["right", "wrong", "unsure"];
const REASONS = {
  uncertain: "The model was unsure", disagreement: "Two parts of the system disagree", random: "Drawn at random",
  rare: "Rare in what was reviewed so far", new_sender: "From a new sender", drift: "Messages have changed",
  overridden: "A clinician overrode its card", accepted: "A clinician accepted its card",
};
const KEYS = [
  ["j  k", "next, previous span"], ["letter", "type of the span, or of the selected text: see the buttons"],
  ["n p h y f", "negated, possible, historical, hypothetical, family: on and off"], ["x", "delete the span"], ["u", "undo"],
  ["← →", "go by words"], ["Shift ← →", "select words; from a span: move its end"], ["Alt Shift ← →", "the same by characters"],
  [",  .", "move the start of the selection or span by a word"], ["1 … 9", "flag: right, wrong, unsure, open"], ["Esc", "drop the selection"],
  ["Enter", "submit, and the next note"], ["S", "skip this note"], ["b", "notes that you reviewed earlier, to correct"], ["G", "guideline"],
  ["Space", "when settling a disagreement: keep this span, drop what overlaps it"], ["?", "these keys"],
];

const state = { session: null, sample: null, points: [], spans: [], now: -1, picked: null, caret: null, words: [], verdicts: {}, past: [], busy: false };
let starts = new WeakMap(); // text node of the note -> code point at which it begins

// --- talking to the server

async function call(path, body) {
  const options = { headers: {}, credentials: "same-origin" };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["content-type"] = "application/json";
    if (state.session) options.headers["x-csrf-token"] = state.session.csrf;
    options.body = JSON.stringify(body);
  }
  let answer, found;
  try {
    answer = await fetch(path, options);
    found = await answer.json();
  } catch {
    throw new Error("The server does not answer. Nothing is lost: try again.");
  }
  if (answer.ok) return found;
  if (answer.status === 401 && path !== "/api/login") {
    show("login");
    throw new Error("Please sign in again.");
  }
  throw new Error({
    "withdrawn": "This note was withdrawn and is no longer to be reviewed.",
    "not yours": "This note was given to somebody else in the meantime: it was open too long.",
    "cap": "You have reached today's number of notes. Thank you!",
    "not ready": "The queue is still being read. Try again in a moment.",
    "broker_unavailable": "The log does not take it now. Nothing is lost: press Enter again in a moment.",
    "token": "This token is not known.",
  }[found.error] || `It was not accepted (${found.error}).`);
}

function fail(error) {
  banner(error.message, true);
}

function banner(text, bad) {
  $("banner").textContent = text || "";
  $("banner").hidden = !text;
  $("banner").classList.toggle("bad", Boolean(bad));
}

function announce(text) {
  $("live").textContent = text;
}

function show(id) {
  for (const view of document.querySelectorAll("main")) view.hidden = view.id !== id;
  document.querySelector("nav").hidden = !state.session || id === "login";
  if (id === "login") $("token").focus();
  if (id === "review") $("note").focus({ preventScroll: true });
}

function visible(id) {
  return !$(id).hidden;
}

// --- signing in

async function start() {
  try {
    state.session = await call("/api/session");
  } catch {
    show("login");
    return;
  }
  buttons();
  await next();
}

$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("login-error").textContent = "";
  const before = state.session;
  try {
    state.session = await call("/api/login", { token: $("token").value });
  } catch (error) {
    $("login-error").textContent = error.message;
    return;
  }
  $("token").value = "";
  banner("");
  buttons();
  if (state.sample && before && before.pseudonym === state.session.pseudonym) show("review"); // unsaved work stays
  else await next();
});

$("sign-out").addEventListener("click", async () => {
  if (state.past.length && !confirm("What you changed in this note is not submitted. Sign out?")) return;
  await call("/api/logout", {}).catch(() => {});
  Object.assign(state, { session: null, sample: null, past: [] });
  $("progress").textContent = "";
  banner("");
  show("login");
});

// --- samples

function progress(answer) {
  const { open, today, cap } = answer.progress;
  $("open-disputes").textContent = answer.disputes ? ` (${answer.disputes} to settle)` : "";
  $("progress").textContent = `${state.session.name} · ${today} of ${cap} today · ${open} to do`;
  if (answer.put_aside) banner("Your labels are put aside for now and do not teach. Please speak with whoever runs the review.", false);
}

async function next() {
  take(await call("/api/next", {}).catch((error) => { fail(error); return null; }));
}

function take(answer) {
  if (!answer) return;
  progress(answer);
  if (!answer.sample) {
    state.sample = null;
    state.past = [];
    $("nothing-title").textContent = answer.why === "cap" ? "That is enough for today" : "Nothing left to review";
    $("nothing-text").textContent = answer.why === "cap"
      ? "You have reached today's number of notes. Thank you! You can still correct earlier ones."
      : "New notes come as the stream proposes them.";
    show("nothing");
    $("again").focus();
    return;
  }
  const sample = answer.sample;
  const points = Array.from(sample.text);
  Object.assign(state, {
    sample, points, spans: sample.spans.map((span) => ({ ...span })), now: -1, picked: null, caret: null,
    words: wordsOf(sample.text), verdicts: { ...sample.verdicts }, past: [],
  });
  sort();
  $("why").textContent = (sample.adjudicated ? "Settle: keep (Space) or delete (x) each span that not all gave. " : sample.again ? "Your earlier review. " : "")
    + [REASONS[sample.reason] || sample.reason, ...sample.why].join(" · ");
  $("skip").hidden = Boolean(sample.again || sample.adjudicated);
  $("versions").replaceChildren(...Object.entries({ ...sample.versions, selection: sample.selection, guideline: state.session.guideline })
    .filter(([, value]) => value).flatMap(([name, value]) => [element("dt", name.replace("_", " ")), element("dd", value)]));
  show("review");
  $("note").scrollTop = 0;
  draw();
  if (sample.adjudicated) return go(Math.max(0, state.spans.findIndex(contested)));
  announce(`New note, ${state.spans.length} spans.`);
}

function wordsOf(text) {
  const found = [];
  let unit = 0, point = 0;
  for (const match of text.matchAll(/[\p{L}\p{M}\p{N}]+(?:['’.,/-][\p{L}\p{M}\p{N}]+)*|\S/gu)) {
    point += Array.from(text.slice(unit, match.index)).length;
    unit = match.index;
    found.push([point, point + Array.from(match[0]).length]);
  }
  return found;
}

// --- changing

function remember() {
  state.past.push(JSON.stringify([state.spans, state.verdicts, state.now]));
}

function undo() {
  const before = state.past.pop();
  if (before === undefined) return announce("Nothing to undo.");
  [state.spans, state.verdicts, state.now] = JSON.parse(before);
  state.picked = null;
  draw();
  announce("Undone.");
}

function sort() {
  const now = state.spans[state.now];
  state.spans.sort((a, b) => a.start - b.start || b.end - a.end);
  state.now = now ? state.spans.indexOf(now) : -1;
}

function asserted(type) {
  return state.session.asserted.includes(type);
}

function setType(type) {
  takeNative();
  if (state.picked) {
    const [start, end] = ends(state.picked);
    const hit = (span) => span.start < end && start < span.end;
    const old = state.spans.find(hit);
    remember();
    const made = { start, end, type, assertion: asserted(type) ? { ...(old && old.assertion) } : null, score: null };
    state.spans = state.spans.filter((span) => !hit(span));
    state.spans.push(made);
    state.now = state.spans.length - 1;
    sort();
    state.picked = null;
    state.caret = null;
  } else if (state.now >= 0) {
    remember();
    const span = state.spans[state.now];
    Object.assign(span, { type, assertion: asserted(type) ? { ...span.assertion } : null, by: [] });
  } else {
    return announce("Select text first, or go to a span with j.");
  }
  draw();
  say();
}

function toggle(axis) {
  const span = state.spans[state.now];
  if (!span) return announce("Go to a span first, with j.");
  if (!asserted(span.type)) return announce(`A ${span.type} carries nothing of that kind.`);
  remember();
  span.assertion = { ...span.assertion, [axis]: !(span.assertion && span.assertion[axis]) };
  draw();
  say();
}

function remove() {
  if (state.now < 0) return announce("Go to a span first, with j.");
  remember();
  state.spans.splice(state.now, 1);
  state.now = Math.min(state.now, state.spans.length - 1);
  if (state.sample.adjudicated) return nextContested();
  draw();
  announce("Deleted.");
}

function keep() {
  const span = state.spans[state.now];
  if (!span || !contested(span)) return;
  remember();
  state.spans = state.spans.filter((other) => other === span || !(other.start < span.end && span.start < other.end));
  state.now = state.spans.indexOf(span);
  span.by = [];
  nextContested();
}

function nextContested() {
  const open = state.spans.findIndex(contested);
  if (open >= 0) return go(open);
  draw();
  announce("All settled: Enter submits.");
}

function contested(span) {
  return Boolean(span.by && span.by.length);
}

function judge(index) {
  const flag = state.sample.flags[index];
  if (!flag) return;
  remember();
  const following = VERDICTS[VERDICTS.indexOf(state.verdicts[flag.id]) + 1];
  setVerdict(flag.id, following);
}

function setVerdict(id, verdict) {
  if (verdict) state.verdicts[id] = verdict;
  else delete state.verdicts[id];
  draw();
  announce(`Flag: ${verdict || "open"}.`);
}

async function submit() {
  if (state.busy || !state.sample) return;
  const open = state.spans.findIndex(contested);
  if (open >= 0) {
    go(open);
    return banner("Some spans are not settled: keep each with Space, or delete it with x.", false);
  }
  state.busy = true;
  $("submit").disabled = true;
  try {
    await call("/api/labels", {
      sample: state.sample.id, flags: state.verdicts, adjudicated: Boolean(state.sample.adjudicated),
      spans: state.spans.map(({ start, end, type, assertion }) => ({ start, end, type, assertion })),
    });
    banner("");
    state.past = [];
    await next();
  } catch (error) {
    fail(error);
  } finally {
    state.busy = false;
    $("submit").disabled = false;
  }
}

async function skip() {
  if (!state.sample || $("skip").hidden) return;
  state.past = [];
  take(await call("/api/skip", { sample: state.sample.id }).catch((error) => { fail(error); return null; }));
}

// --- moving and selecting

function go(index) {
  state.now = index;
  state.picked = null;
  state.caret = null;
  draw();
  say();
}

function step(by) {
  const count = state.spans.length;
  if (!count) return announce("No spans.");
  if (state.now < 0) {
    const from = state.picked ? ends(state.picked)[0] : state.caret ?? -1;
    const after = state.spans.findIndex((span) => span.start > from);
    return go(by > 0 ? (after < 0 ? 0 : after) : (after < 0 ? count : after) - 1 < 0 ? count - 1 : (after < 0 ? count : after) - 1);
  }
  go((state.now + by + count) % count);
}

function ends([anchor, focus]) {
  return anchor < focus ? [anchor, focus] : [focus, anchor];
}

// The edge of a word next to a place: of those that begin after it, or ended before it.
function edge(place, by) {
  if (by > 0) {
    const word = state.words.find(([, end]) => end > place);
    return word ? word[1] : state.points.length;
  }
  const word = state.words.findLast(([start]) => start < place);
  return word ? word[0] : 0;
}

function move(by, extend, characters) {
  const span = state.spans[state.now];
  if (!extend) {
    const from = state.picked ? state.picked[1] : span ? (by > 0 ? span.end : span.start) : state.caret ?? 0;
    const found = by > 0 ? state.words.find(([start]) => start >= from + (state.caret === from ? 1 : 0)) : state.words.findLast(([start]) => start < from);
    state.caret = found ? found[0] : by > 0 ? state.points.length : 0;
    state.picked = null;
    state.now = -1;
    draw();
    const word = found && state.points.slice(found[0], found[1]).join("");
    return announce(word || "end of the note");
  }
  state.picked ||= span ? [span.start, span.end] : [state.caret ?? 0, state.caret ?? 0];
  const [anchor, focus] = state.picked;
  select(anchor, characters ? Math.max(0, Math.min(state.points.length, focus + by)) : edge(focus, by));
}

function moveStart(by) {
  const span = state.spans[state.now];
  if (!state.picked && !span) return;
  const [start, end] = state.picked ? ends(state.picked) : [span.start, span.end];
  const word = by < 0 ? edge(start, -1) : (state.words.find(([begins]) => begins > start) || [start])[0];
  if (word < end) select(word, end);
}

function select(anchor, focus) {
  state.picked = anchor === focus ? null : [anchor, focus];
  state.caret = state.picked ? null : anchor;
  state.now = state.picked ? -1 : state.now;
  draw();
  if (state.picked) announce(`Selected: ${words(...ends(state.picked))}`);
}

function words(start, end) {
  return state.points.slice(start, end).join("").replace(/\s+/gu, " ");
}

function place(node, offset) {
  if (node.nodeType === Node.TEXT_NODE && starts.has(node)) return starts.get(node) + Array.from(node.data.slice(0, offset)).length;
  const after = node.childNodes[offset]; // between nodes: where the next one begins
  const walker = document.createTreeWalker($("note"), NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const beyond = after ? after === text || after.contains(text) || after.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING
      : !node.contains(text) && node.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING;
    if (beyond && starts.has(text)) return starts.get(text);
  }
  return state.points.length;
}

// What the mouse or a finger selected becomes ours: without white space at its ends, and it stays when the note is drawn again.
function takeNative() {
  const chosen = getSelection();
  if (!chosen.rangeCount || chosen.isCollapsed || !$("note").contains(chosen.anchorNode) || !$("note").contains(chosen.focusNode)) return false;
  const range = chosen.getRangeAt(0);
  let start = place(range.startContainer, range.startOffset), end = place(range.endContainer, range.endOffset);
  while (start < end && /\s/u.test(state.points[start])) start += 1;
  while (end > start && /\s/u.test(state.points[end - 1])) end -= 1;
  chosen.removeAllRanges();
  if (start === end) return false;
  select(start, end);
  return true;
}

$("note").addEventListener("mouseup", (event) => {
  if (takeNative()) return;
  const mark = event.target.closest("mark");
  if (mark) go(Number(mark.dataset.index));
  else if (state.picked || state.now >= 0) {
    Object.assign(state, { picked: null, now: -1 });
    draw();
  }
});

// --- drawing

function element(name, text, attributes) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  return made;
}

function axesOf(span) {
  return AXES.map(([, axis]) => axis).filter((axis) => span.assertion && span.assertion[axis]);
}

function draw() {
  drawNote();
  drawSpans();
  drawFlags();
  const span = state.spans[state.now];
  for (const button of $("types").children) {
    button.setAttribute("aria-pressed", String(!state.picked && Boolean(span) && span.type === button.dataset.type));
  }
  for (const button of $("axes").children) {
    button.disabled = !span || Boolean(state.picked) || !asserted(span.type);
    button.setAttribute("aria-pressed", String(Boolean(span && span.assertion && span.assertion[button.dataset.axis])));
  }
  $("delete").disabled = state.now < 0;
  $("undo").disabled = !state.past.length;
}

function drawNote() {
  const cuts = new Set([0, state.points.length]);
  for (const span of state.spans) cuts.add(span.start).add(span.end);
  if (state.picked) for (const edge of state.picked) cuts.add(edge);
  if (state.caret !== null) cuts.add(state.caret);
  const sorted = [...cuts].sort((a, b) => a - b);
  const made = document.createDocumentFragment();
  starts = new WeakMap();
  for (let k = 0; k + 1 < sorted.length || k === 0; k += 1) {
    const start = sorted[k], end = sorted[k + 1] ?? start;
    const text = document.createTextNode(state.points.slice(start, end).join(""));
    starts.set(text, start);
    const over = state.spans.map((span, index) => [span, index]).filter(([span]) => span.start <= start && end <= span.end);
    // the one that is chosen, else the shortest
    const [top, index] = over.find(([, at]) => at === state.now) || over.sort((a, b) => (a[0].end - a[0].start) - (b[0].end - b[0].start))[0] || [null, -1];
    const picked = state.picked && ends(state.picked)[0] <= start && end <= ends(state.picked)[1];
    let piece = text;
    if (top && start < end) {
      const tag = [top.type, ...axesOf(top)].join(", ");
      piece = element("mark", undefined, { "data-index": index, "data-tag": tag, title: top.by && top.by.length ? `${tag}; only ${top.by.join(", ")}` : tag });
      piece.className = `t-${top.type}`;
      piece.classList.toggle("first", start === top.start);
      piece.classList.toggle("last", end === top.end);
      piece.classList.toggle("unsure", typeof top.score === "number" && top.score < 0.6);
      piece.classList.toggle("contested", contested(top));
      piece.classList.toggle("now", index === state.now);
      piece.append(text);
    }
    if (picked || start === state.caret) {
      const outer = element("span");
      outer.className = picked ? "picked" : "caret";
      outer.append(piece);
      piece = outer;
    }
    made.append(piece);
  }
  $("note").replaceChildren(made);
  const seen = $("note").querySelector("mark.now, .picked, .caret");
  if (seen) seen.scrollIntoView({ block: "nearest" });
}

function drawSpans() {
  $("spans-title").textContent = `Spans (${state.spans.length})`;
  $("spans").replaceChildren(...state.spans.map((span, index) => {
    const row = element("li");
    row.className = `t-${span.type}`;
    row.classList.toggle("now", index === state.now);
    const button = element("button", `${words(span.start, span.end)} `, { type: "button", tabindex: "-1" });
    if (index === state.now) button.setAttribute("aria-current", "true");
    button.append(element("small", [span.type, ...axesOf(span), ...(contested(span) ? [`only ${span.by.join(", ")}`] : [])].join(", ")));
    button.addEventListener("click", () => { go(index); $("note").focus({ preventScroll: true }); });
    row.append(button);
    return row;
  }));
  const row = $("spans").children[state.now];
  const list = document.querySelector(".spans");
  if (row && getComputedStyle(list).overflowY === "auto") row.scrollIntoView({ block: "nearest" }); // not the whole of a small screen
}

function drawFlags() {
  $("flags-section").hidden = !state.sample.flags.length;
  $("flags").replaceChildren(...state.sample.flags.map((flag, index) => {
    const row = element("li");
    const says = element("span");
    says.append(element("kbd", String(index + 1)), ` ${flag.says || flag.id}`);
    const choice = element("span", undefined, { role: "group", "aria-label": `Flag ${index + 1}` });
    choice.className = "choice";
    for (const verdict of VERDICTS) {
      const button = element("button", verdict, { type: "button", "aria-pressed": String(state.verdicts[flag.id] === verdict) });
      button.addEventListener("click", () => {
        remember();
        setVerdict(flag.id, state.verdicts[flag.id] === verdict ? "" : verdict);
        $("note").focus({ preventScroll: true });
      });
      choice.append(button);
    }
    row.append(says, choice);
    return row;
  }));
}

function say() {
  const span = state.spans[state.now];
  if (span) announce(`${words(span.start, span.end)}: ${[span.type, ...axesOf(span)].join(", ")}. ${state.now + 1} of ${state.spans.length}.`);
}

function buttons() {
  const make = (box, key, name, kind, act) => {
    const button = element("button", undefined, { type: "button", [`data-${kind}`]: name, "aria-pressed": "false" });
    if (kind === "type") button.className = `t-${name}`;
    button.append(element("kbd", key), name);
    button.addEventListener("mousedown", (event) => event.preventDefault()); // what is selected in the note stays so
    button.addEventListener("click", () => { act(name); $("note").focus({ preventScroll: true }); });
    box.append(button);
  };
  $("types").replaceChildren();
  $("axes").replaceChildren();
  for (const [key, name] of Object.entries(LETTERS)) make($("types"), key, name, "type", setType);
  for (const [key, name] of AXES) make($("axes"), key, name, "axis", toggle);
  $("keys").replaceChildren(...KEYS.flatMap(([key, what]) => {
    const name = element("dt");
    name.append(element("kbd", key));
    return [name, element("dd", what)];
  }));
}

// --- other views

// A dialog is there before what it shows, so that the next key is its own and not the note's.
async function openDialog(dialog, path) {
  dialog.showModal();
  try {
    return await call(path);
  } catch (error) {
    dialog.close();
    throw error;
  }
}

async function recent() {
  $("recent-list").replaceChildren();
  const { labels } = await openDialog($("recent"), "/api/recent");
  $("recent-list").replaceChildren(...labels.map((label) => {
    const row = element("li");
    const button = element("button", `${label.decided.slice(0, 16).replace("T", " ")} UTC, ${label.spans} spans: ${label.begins.replace(/\s+/gu, " ")}…`, { type: "button" });
    button.addEventListener("click", async () => {
      $("recent").close();
      take(await call("/api/open", { sample: label.sample }).catch((error) => { fail(error); return null; }));
    });
    row.append(button);
    return row;
  }));
  if (!labels.length) $("recent-list").append(element("li", "None yet."));
}

async function guideline() {
  $("guideline-text").textContent = "";
  const { text, version } = await openDialog($("guideline"), "/api/guideline");
  $("guideline-title").textContent = `Guideline ${version}`;
  $("guideline-text").textContent = text;
}

function table(box, head, rows) {
  const line = (cells, name) => {
    const row = element("tr");
    for (const cell of cells) {
      const made = element(name, String(cell));
      if (/^-?[0-9.]+$/.test(cell)) made.className = "number";
      row.append(made);
    }
    return row;
  };
  const top = element("thead"), body = element("tbody");
  top.append(line(head, "th"));
  body.append(...rows.map((cells) => line(cells, "td")));
  box.replaceChildren(top, body);
}

async function agreement() {
  const found = await call("/api/agreement");
  const fixed = (value) => (typeof value === "number" ? value.toFixed(2) : "–");
  const name = (who) => (who === found.you ? `${who} (you)` : who);
  table($("pairs"), ["reviewers", "notes", "type", "kappa", "F1 exact", "F1 touching", "first", "second", "same said about"],
    found.pairs.flatMap((pair) => pair.types.map((row, index) => [
      index ? "" : `${name(pair.first)}, ${name(pair.second)}`, index ? "" : pair.samples, row.type, fixed(row.kappa), fixed(row.exact), fixed(row.overlap), row.first, row.second,
      index ? "" : pair.assertions === null ? "–" : `${Math.round(100 * pair.assertions)} % of ${pair.matched}`,
    ])));
  $("pairs").hidden = !found.pairs.length;
  $("no-pairs").hidden = Boolean(found.pairs.length);
  $("disputed-section").hidden = !found.disputed;
  $("standings-section").hidden = !found.standings;
  $("disputed").replaceChildren(...(found.disputed || []).map((row) => {
    const item = element("li");
    const button = element("button", row.reviewers.map(name).join(" against "), { type: "button" });
    button.addEventListener("click", async () => take(await call("/api/dispute", { sample: row.sample }).catch((error) => { fail(error); return null; })));
    item.append(button);
    return item;
  }));
  if (found.disputed && !found.disputed.length) $("disputed").append(element("li", "Nothing."));
  table($("standings"), ["reviewer", "labels", "gold answers", "gold F1", "deletions z", "additions z", "put aside for"],
    (found.standings || []).map((row) => [name(row.reviewer), row.labels, row.gold_answers, fixed(row.gold_f1), fixed(row.deletions_z), fixed(row.additions_z), row.reason]));
  show("agreement");
}

function back() {
  if (state.sample) show("review");
  else next();
}

const guarded = (act) => () => act().catch(fail);
$("to-recent").addEventListener("click", guarded(recent));
$("to-agreement").addEventListener("click", guarded(agreement));
$("to-guideline").addEventListener("click", guarded(guideline));
$("to-help").addEventListener("click", () => $("help").showModal());
$("again").addEventListener("click", () => next());
$("submit").addEventListener("click", () => submit());
$("skip").addEventListener("click", () => skip());
$("undo").addEventListener("click", () => { undo(); $("note").focus({ preventScroll: true }); });
$("delete").addEventListener("click", () => { remove(); $("note").focus({ preventScroll: true }); });
for (const button of document.querySelectorAll(".close")) button.addEventListener("click", () => button.closest("dialog").close());
for (const button of document.querySelectorAll(".back")) button.addEventListener("click", back);

// --- keys

document.addEventListener("keydown", (event) => {
  if (event.isComposing || document.querySelector("dialog[open]") || event.target.closest("input")) return;
  if (visible("agreement")) {
    if (event.key === "Escape") back();
    return;
  }
  if (event.key === "b" && visible("nothing")) return guarded(recent)();
  if (!visible("review")) return;
  const onControl = event.target.closest("button, summary");
  if (onControl && (event.key === "Enter" || event.key === " ")) return;
  if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    return undo();
  }
  if (event.ctrlKey || event.metaKey || (event.altKey && !event.key.startsWith("Arrow"))) return;
  const act = keyed(event);
  if (!act) return;
  event.preventDefault();
  act();
});

function keyed(event) {
  const key = event.key.length === 1 && !event.shiftKey ? event.key.toLowerCase() : event.key; // Caps Lock is no Shift
  const plain = {
    "j": () => step(1), "k": () => step(-1), "x": remove, "Delete": remove, "Backspace": remove, "u": undo, "Enter": submit, "S": skip,
    "b": guarded(recent), "G": guarded(guideline), "?": () => $("help").showModal(), " ": keep,
    "Escape": () => { Object.assign(state, { picked: null, caret: null }); draw(); },
    ",": () => moveStart(-1), ".": () => moveStart(1),
    "ArrowLeft": () => move(-1, event.shiftKey, event.altKey), "ArrowRight": () => move(1, event.shiftKey, event.altKey),
  };
  if (Object.hasOwn(plain, key)) return plain[key];
  if (Object.hasOwn(LETTERS, key)) return () => setType(LETTERS[key]);
  const axis = AXES.find(([letter]) => letter === key);
  if (axis) return () => toggle(axis[1]);
  if (/^[1-9]$/.test(key)) return () => judge(Number(key) - 1);
  return null;
}

addEventListener("beforeunload", (event) => {
  if (state.past.length) event.preventDefault();
});

start();
