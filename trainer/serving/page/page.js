"use strict";
// The page of the server: labels an article and shows the sentences in the running text. Texts are only ever set as
// text, never as HTML. Thresholds that are moved here apply to this page only.

const $ = id => document.getElementById(id);
const state = {
  health: null, codebook: null, labels: [], thresholds: {}, shown: new Set(),
  document: null, input: null, model: "", mayStore: false, isStored: false, html: null, pinned: null, labelled: "",
};

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function coloured(element, name) {
  // The golden angle keeps neighbouring labels apart, however many there are.
  const hue = Math.round((250 + state.labels.findIndex(label => label.name === name) * 137.5) % 360);
  element.style.setProperty("--hue", String(hue));
  element.classList.add("hued");
  return element;
}

const labelOf = name => state.labels.find(label => label.name === name);
const titleOf = name => labelOf(name).title || name;
const inTitles = text => state.labels.reduce((found, label) => found.replaceAll(label.name, titleOf(label.name)), text);
const plural = (count, one, several) => `${count} ${count === 1 ? one : several}`;

// -- requests

const FILE_TYPES = { pdf: "application/pdf", docx: "application/vnd.openxmlformats-officedocument.wordprocessingml.document" };
const MAX_FILE_BYTES = 8 * 2 ** 20;

async function ask(path, body, type = "application/json") {
  const options = body && { method: "POST", headers: { "Content-Type": type }, body: type === "application/json" ? JSON.stringify(body) : body };
  const answer = await fetch(path, options).catch(() => {
    throw new Error("The server does not answer. Check the connection and try again.");
  });
  const content = await answer.json().catch(() => null);
  if (answer.ok) return content;
  const problems = (content && content.detail || []).map(problem => inPlainWords(problem.msg));
  throw new Error(problems.join("\n") || `The server answered with status ${answer.status}.`);
}

function inPlainWords(message) {
  const names = { "documents[0].text": "The text", "documents[0].html": "The page", "documents[0].title": "The title" };
  for (const [name, words] of Object.entries(names)) message = message.replace(name, words);
  return `${message[0].toUpperCase()}${message.slice(1)}${/[.!?]$/.test(message) ? "" : "."}`;
}

async function start() {
  try {
    await meet();
  } catch (error) {
    $("about").textContent = "";
    tell(error.message);
  }
}

async function meet() {
  // Learns what the server serves; also after it has loaded another model.
  [state.health, state.codebook] = await Promise.all([ask("health"), ask("codebook")]);
  const { codebook, kind, model_id, synthetic, corrections } = state.health;
  $("about").textContent = `Codebook: ${codebook}. Model: ${kind}.`;
  $("about").title = `Model id: ${model_id}`;
  $("warning").hidden = !synthetic;
  if (corrections) $("text-hint").textContent = "The article is labelled on this server. It is stored only with your first correction, if you agree.";
  state.labels = state.codebook.labels;
  state.shown = new Set(state.labels.map(label => label.name));
  state.thresholds = { ...state.health.thresholds };
  $("labels").replaceChildren();
  showCodebook();
}

function tell(message) {
  $("problem").textContent = message;
  $("text").setAttribute("aria-invalid", String(Boolean(message)));
  if (!message) return;
  release();
  $("text").focus();
  $("problem").scrollIntoView({ block: "nearest" });
}

const given = () => `${$("title").value}\n${$("text").value}`;

function stale(isStale) {
  $("stale").hidden = !isStale;
  $("result").classList.toggle("stale", isStale);
  for (const name of ["copy", "csv", "jsonl"]) $(name).disabled = isStale;
  document.querySelectorAll(".correction button").forEach(button => { button.disabled = isStale; });
}

async function label() {
  const title = $("title").value.trim(), text = $("text").value;
  if (!text.trim()) return tell("Paste an article first, or open a file.");
  const isPage = state.html && state.html.shown === text;
  const input = isPage ? { html: state.html.source } : title ? { title, text } : { text };
  await labelWith(async () => [await ask("predict", { documents: [input] }), input]);
}

async function labelWith(answer) {
  // Shows the answer of the server; `answer` gives it with the input that corrections repeat, and remarks on a file.
  tell("");
  $("label").disabled = true;
  $("label").textContent = "Labelling …";
  try {
    const [content, input, notes = ""] = await answer();
    if (content.model_id !== state.health.model_id) await meet();
    Object.assign(state, { document: content.documents[0], model: content.model_id, input, mayStore: false, isStored: false, pinned: null });
    state.labelled = given();
    $("notes").textContent = notes;
    $("notes").hidden = !notes;
    $("result").hidden = $("side").hidden = false;
    $("label-panel").open = matchMedia("(min-width: 60rem)").matches;
    stale(false);
    show();
    $("result-heading").focus();
    $("result").scrollIntoView({ block: "start" });
  } catch (error) {
    tell(error.message);
  } finally {
    $("label").disabled = false;
    $("label").textContent = "Label the article";
  }
}

// -- labels of a sentence, with the thresholds of this page

function assigned(sentence) {
  if (state.health.exclusive) return sentence.labels;
  return state.labels.map(label => label.name).filter(name => sentence.probabilities[name] >= state.thresholds[name]);
}

const isMoved = name => state.thresholds[name] !== state.health.thresholds[name];

// -- the article

function show() {
  const { text, sentences, set_aside } = state.document;
  const spans = [...sentences.map(sentence => ({ ...sentence, sentence })), ...set_aside].sort((a, b) => a.start - b.start);
  const article = $("article");
  article.replaceChildren();
  clearDetail();
  // Offsets count characters; JavaScript counts UTF-16 units, of which an emoji has two.
  const characters = Array.from(text), piece = (from, to) => characters.slice(from, to).join("");
  let position = 0;
  for (const span of spans) {
    const gap = piece(position, span.start).replace(/\r/g, "");
    if (gap) article.append(make("span", /\S/.test(gap) ? "gap aside" : "gap", gap));
    article.append(span.sentence ? sentenceElement(span.sentence) : make("span", "aside", piece(span.start, span.end)));
    position = span.end;
  }
  showAside(set_aside.map(span => `${piece(span.start, span.end)} (${span.reason})`));
  update();
}

function showAside(lines) {
  $("aside-list").hidden = !lines.length;
  $("aside-summary").textContent = `${plural(lines.length, "line was", "lines were")} left out (titles, captions, share links and other boilerplate)`;
  $("aside-list").querySelector("ul").replaceChildren(...lines.map(line => make("li", "soft", line)));
}

function sentenceElement(sentence) {
  const element = make("span", "sentence", sentence.text);
  element.tabIndex = $("article").querySelector(".sentence") ? -1 : 0;
  element.setAttribute("role", "button");
  element.setAttribute("aria-controls", "detail");
  element.sentence = sentence;
  // Hovering only previews: a sentence that was chosen stays until another one is chosen.
  element.addEventListener("mousemove", () => { if (!state.pinned && !element.classList.contains("current")) detail(element); });
  for (const event of ["focus", "click"]) element.addEventListener(event, () => { if (state.pinned !== element) pin(element); });
  element.addEventListener("keydown", event => move(event, element));
  return element;
}

function pin(element) {
  state.pinned = element;
  detail(element);
  $("detail").classList.add("open");
  $("detail").scrollTop = $("side").scrollTop = 0;
  element.scrollIntoView({ block: "nearest" });
}

function unpin() {
  if (state.pinned) state.pinned.focus({ preventScroll: true }); // still pinned, so the focus does not open it again
  release();
}

function release() {
  // On a narrow screen, the description of a sentence would cover what the reader turns to.
  $("detail").classList.remove("open");
  state.pinned = null;
}

function move(event, element) {
  // The article is one stop of the Tab key; the arrow keys move between its sentences.
  const all = [...document.querySelectorAll("#article .sentence")].filter(other => other.offsetParent);
  const position = all.indexOf(element), last = all.length - 1;
  const steps = { ArrowRight: position + 1, ArrowDown: position + 1, ArrowLeft: position - 1, ArrowUp: position - 1, Home: 0, End: last };
  if (event.key === "Enter" || event.key === " ") pin(element);
  else if (event.key in steps) all[Math.max(0, Math.min(last, steps[event.key]))].focus();
  else return;
  event.preventDefault();
}

function update() {
  const counts = Object.fromEntries(state.labels.map(label => [label.name, 0]));
  let labelled = 0, shown = 0, corrected = 0;
  for (const element of document.querySelectorAll("#article .sentence")) {
    const names = assigned(element.sentence), visible = names.filter(name => state.shown.has(name));
    names.forEach(name => { counts[name] += 1; });
    labelled += names.length > 0;
    shown += visible.length > 0;
    corrected += Boolean(element.corrected);
    mark(element, visible);
  }
  const total = state.document.sentences.length, moved = state.labels.map(label => label.name).filter(isMoved);
  $("summary").textContent = (labelled ? `${labelled} of ${plural(total, "sentence", "sentences")} labelled` : "No sentence has a label") +
    (shown < labelled ? `, ${shown} shown.` : ".") + (corrected ? ` ${corrected} corrected.` : "") + (moved.length ? ` Thresholds changed: ${moved.map(titleOf).join(", ")}.` : "");
  $("nothing").hidden = shown + corrected > 0 || !$("only-labelled").checked;
  $("nothing").textContent = labelled ? "All labels are hidden. Tick one under Labels." : "No sentence has a label.";
  $("reset").disabled = !moved.length;
  showLabels(counts);
  keepReachable();
  const current = document.querySelector(".sentence.current");
  if (current) showBars(current);
}

function keepReachable() {
  // The only stop of the Tab key must be visible.
  const stop = document.querySelector('#article .sentence[tabindex="0"]');
  if (!stop || stop.offsetParent) return;
  const first = [...document.querySelectorAll("#article .sentence")].find(other => other.offsetParent);
  stop.tabIndex = -1;
  stop.classList.remove("current");
  state.pinned = null;
  clearDetail();
  if (first) first.tabIndex = 0;
}

function mark(element, names) {
  element.classList.toggle("labelled", names.length > 0);
  element.classList.toggle("several", names.length > 1);
  element.classList.toggle("plain", names.length === 0 && !element.corrected);
  element.classList.toggle("corrected-sentence", Boolean(element.corrected));
  // Chips stand before the sentence: after it, a chip on a new line would seem to belong to the next sentence.
  const chips = strongest(element.sentence, names).map(name => coloured(make("span", "chip", titleOf(name)), name));
  if (element.corrected) chips.push(make("span", "chip corrected", `corrected: ${element.corrected.map(titleOf).join(", ") || "none"}`));
  element.replaceChildren(...chips, element.sentence.text);
  if (names.length) coloured(element, strongest(element.sentence, names)[0]);
}

const strongest = (sentence, names) => [...names].sort((a, b) => sentence.probabilities[b] - sentence.probabilities[a]);

function showLabels(counts) {
  $("reset").hidden = state.health.exclusive;
  if (!$("labels").children.length) $("labels").append(...state.labels.map(labelItem));
  for (const item of $("labels").children) {
    const name = item.dataset.name, range = item.querySelector("input[type=range]");
    item.querySelector(".count").textContent = counts[name];
    if (!range) continue;
    range.value = state.thresholds[name];
    item.querySelector(".number").textContent = state.thresholds[name].toFixed(2) +
      (isMoved(name) ? ` (model: ${state.health.thresholds[name].toFixed(2)})` : "");
  }
}

function labelItem(label) {
  const item = coloured(make("li"), label.name), box = make("input");
  item.dataset.name = label.name;
  Object.assign(box, { type: "checkbox", checked: true });
  box.addEventListener("change", () => { state.shown[box.checked ? "add" : "delete"](label.name); update(); });
  const head = make("label", "check head", box, make("span", "swatch"), titleOf(label.name), make("span", "count"));
  head.title = label.definition;
  item.append(head);
  if (!state.health.exclusive) item.append(slider(label));
  return item;
}

function slider(label) {
  const range = make("input");
  Object.assign(range, { type: "range", min: 0, max: 1, step: 0.01 });
  range.addEventListener("input", () => { state.thresholds[label.name] = Number(range.value); update(); });
  range.setAttribute("aria-label", `Threshold for ${titleOf(label.name)}`);
  return make("div", "slide", range, make("output", "number"));
}

// -- one sentence

function clearDetail() {
  $("detail").classList.remove("open");
  $("detail-body").replaceChildren(make("p", "soft", "Choose a sentence (click, tap or arrow keys) to see its probabilities."));
}

function detail(element) {
  document.querySelectorAll(".sentence.current").forEach(other => other.classList.remove("current"));
  element.classList.add("current");
  document.querySelectorAll("#article .sentence").forEach(other => { other.tabIndex = other === element ? 0 : -1; });
  const parts = [make("blockquote", "", element.sentence.text), make("div", "measured")];
  if (state.health.explains) parts.push(whyPart(element));
  // Only for a chosen sentence: a form must not change while the pointer moves to it.
  if (state.health.corrections && state.pinned === element) parts.push(correctionForm(element));
  $("detail-body").replaceChildren(...parts);
  showBars(element);
}

function showBars(element) {
  // Leaves the form alone, in which labels may be ticked and not saved yet.
  const sentence = element.sentence, names = assigned(sentence);
  const ranked = Object.entries(sentence.probabilities).sort((a, b) => b[1] - a[1]).slice(0, 12);
  const bars = make("ul", "bars", ...ranked.map(([name, probability]) => bar(name, probability, names.includes(name))));
  const meanings = names.filter(name => labelOf(name).definition)
    .map(name => make("p", "soft meaning", make("strong", "", `${titleOf(name)}: `), labelOf(name).definition));
  const place = $("detail-body").querySelector(".measured");
  if (place) place.replaceChildren(bars, ...meanings);
}

function bar(name, probability, isAssigned) {
  const fill = make("div", "fill"), track = make("div", "track", fill), threshold = state.thresholds[name];
  fill.style.width = `${100 * probability}%`;
  let numbers = probability.toFixed(2);
  if (!state.health.exclusive) {
    const tick = make("div", "tick"), digits = Math.abs(probability - threshold) < 0.005 ? 4 : 2;
    tick.style.left = `calc(${100 * threshold}% - 1px)`;
    track.append(tick);
    numbers = `${probability.toFixed(digits)} (needs ${threshold.toFixed(digits)})`;
  }
  const title = isAssigned ? make("strong", "", titleOf(name)) : make("span", "soft", titleOf(name));
  return coloured(make("li", "", make("div", "line", title, make("span", "number", numbers)), track), name);
}

// -- explanations, if the model can be explained

const FAINT = 0.1; // words of a smaller share of the largest weight are not marked

function whyPart(element) {
  const button = make("button", "", "Why?"), place = make("div", "why");
  place.setAttribute("role", "status");
  button.type = "button";
  if (element.why && element.whyFor === String(assigned(element.sentence))) place.replaceChildren(...element.why);
  button.addEventListener("click", () => explain(element, button, place));
  return make("div", "explained", button, place);
}

async function explain(element, button, place) {
  button.disabled = true;
  place.textContent = "Looking at the words …";
  try {
    const body = { texts: [element.sentence.text], explain: true };
    if (!state.health.exclusive) body.thresholds = state.thresholds;
    const content = await ask("predict", body), text = element.sentence.text;
    element.why = [...content.predictions[0].explanations.flatMap(found => explanation(text, found, content.predictions[0].labels)), whyLegend()];
    element.whyFor = String(content.predictions[0].labels);
    place.replaceChildren(...element.why);
    place.scrollIntoView({ block: "nearest" });
  } catch (error) {
    place.textContent = error.message;
  } finally {
    button.disabled = false;
    button.focus({ preventScroll: true });
  }
}

function explanation(text, found, labels) {
  const characters = Array.from(text), largest = Math.max(...found.words.map(word => Math.abs(word.weight)), 1e-9);
  const line = make("p", "why-text");
  let position = 0;
  for (const { start, end, weight } of found.words) {
    line.append(characters.slice(position, start).join(""));
    const word = characters.slice(start, end).join(""), share = Math.abs(weight) / largest;
    line.append(share < FAINT ? word : weightedWord(word, weight, share));
    position = end;
  }
  line.append(characters.slice(position).join(""));
  const has = labels.includes(found.label) ? "has this label" : "does not have this label";
  return [make("h3", "", `${titleOf(found.label)} (the sentence ${has})`), line, ...strongestWords(found, characters)];
}

function weightedWord(word, weight, share) {
  // Underlines and signs, because colour alone is not enough; the number is in the tooltip and in the list below.
  const level = share > 0.66 ? "strong" : share > 0.33 ? "middle" : "weak";
  const mark = make("mark", `${weight > 0 ? "for" : "against"} ${level}`, word);
  mark.title = signed(weight);
  return mark;
}

const signed = weight => `${weight > 0 ? "+" : "−"}${Math.abs(weight).toFixed(2)}`;

function strongestWords(found, characters) {
  const largest = Math.max(...found.words.map(word => Math.abs(word.weight)), 1e-9);
  const ranked = found.words.filter(word => Math.abs(word.weight) >= FAINT * largest).sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));
  const list = (heading, words) => words.length
    ? [make("p", "soft", `${heading}: ${words.slice(0, 5).map(word => `${characters.slice(word.start, word.end).join("")} ${signed(word.weight)}`).join(", ")}.`)] : [];
  return [...list("For", ranked.filter(word => word.weight > 0)), ...list("Against", ranked.filter(word => word.weight < 0))];
}

function whyLegend() {
  return make("p", "soft", make("mark", "for strong", "Solid line"), ": speaks for the label. ", make("mark", "against strong", "Dashed line"),
    ": speaks against it. A thicker line means more weight. The weights add up to the model's score; they do not show that the label is right.");
}

// -- corrections, if the server accepts them

function correctionForm(element) {
  const chosen = element.draft || element.corrected || assigned(element.sentence);
  const boxes = make("fieldset", "", make("legend", "", "Which labels are right?")), form = make("form", "correction");
  const choices = state.labels.map(label => [label.name, titleOf(label.name)]);
  if (state.health.exclusive && state.codebook.allow_none) choices.push(["", "None"]);
  for (const [name, title] of choices) {
    const box = make("input"), type = state.health.exclusive ? "radio" : "checkbox";
    Object.assign(box, { type, name: "correction", value: name, checked: name ? chosen.includes(name) : !chosen.length });
    boxes.append(make("label", "check", box, title));
  }
  const said = make("p", "soft", element.draft ? "Not saved yet." : element.corrected ? "Saved." : ""), input = state.input;
  said.setAttribute("role", "status");
  boxes.addEventListener("change", () => { element.draft = ticked(form); said.textContent = "Not saved yet."; });
  form.append(boxes, ...storeQuestion(), said, make("button", "", "Save correction"));
  form.addEventListener("submit", event => { event.preventDefault(); correct(element, input, form, said); });
  const folded = make("details", "", make("summary", "", "Correct this sentence"), form);
  folded.open = Boolean(element.draft || element.corrected);
  return folded;
}

const ticked = form => [...form.querySelectorAll("[name=correction]:checked")].map(box => box.value).filter(Boolean);

function storeQuestion() {
  // Nothing is stored before the reader agrees to it, once for each article.
  if (state.isStored) return [make("p", "soft", "This article is in the label store.")];
  const box = make("input"), advise = () => box.setCustomValidity(box.checked ? "" : "To save a correction, agree that the article is stored.");
  Object.assign(box, { type: "checkbox", name: "store", checked: state.mayStore });
  box.addEventListener("change", () => { state.mayStore = box.checked; advise(); });
  advise();
  return [make("label", "check", box, "Store this article and my correction in the label store")];
}

async function correct(element, input, form, said) {
  const labels = ticked(form), save = form.querySelector("button");
  const { start, end } = element.sentence, suggestion = assigned(element.sentence);
  save.disabled = true;
  said.textContent = "Saving …";
  try {
    const answer = await ask("corrections", {
      document: input, store_document: state.mayStore, corrections: [{ start, end, labels, suggestion }],
    });
    Object.assign(element, { corrected: labels, draft: null });
    state.isStored = true;
    said.textContent = `Saved as a decision of ${answer.annotator}.`;
    update();
    element.scrollIntoView({ block: "nearest" });
  } catch (error) {
    said.textContent = error.message;
  } finally {
    save.disabled = false;
    form.scrollIntoView({ block: "nearest" });
  }
}

// -- the codebook

function showCodebook() {
  $("definitions").replaceChildren();
  $("codebook-description").textContent = state.codebook.description;
  for (const label of state.labels) {
    const summary = make("summary", "", coloured(make("span", "swatch"), label.name), titleOf(label.name));
    const entry = make("details", "", summary, make("p", "", inTitles(label.definition)));
    entry.append(...list("Include", label.include), ...list("Exclude", label.exclude));
    entry.append(...list("Examples", label.examples.map(example => example.text)));
    $("definitions").append(entry);
  }
  $("definitions").append(...list("For all labels", state.codebook.rules));
}

function list(heading, rules) {
  if (!rules.length) return [];
  return [make("h3", "", heading), make("ul", "", ...rules.map(rule => make("li", "", inTitles(rule))))];
}

function example() {
  if ($("text").value.trim() && !confirm("Replace the text with examples from the codebook?")) return;
  const found = state.labels.flatMap(label => label.examples.slice(0, 2).map(entry => entry.text));
  const others = state.labels.flatMap(label => label.counterexamples.slice(0, 1).map(entry => entry.text));
  const sentences = [...found, ...others].slice(0, 12);
  fill(sentences.length ? sentences.join("\n\n") :
    "The envoy urged both armies to stop shelling the valley before Friday.\n\nRain fell for most of the morning.");
  label();
}

// -- files, copies, downloads

function fill(text) {
  $("title").value = "";
  $("text").value = text;
  state.html = null;
}

async function open(file) {
  if (!file) return;
  if (/\.(docx|pdf)$/i.test(file.name)) return openDocument(file);
  if (!/\.(txt|html?)$/i.test(file.name)) return tell(`${file.name}: only .txt, .html, .docx and .pdf files can be opened. Save the article as text.`);
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    return tell(`${file.name}: the file is not UTF-8 text. Save the file as UTF-8.`);
  }
  if ($("text").value.trim() && !confirm(`Replace the text with ${file.name}?`)) return;
  fill(text);
  if (/\.html?$/i.test(file.name)) readAsPage(text);
  label();
}

async function openDocument(file) {
  if (file.size > MAX_FILE_BYTES) return tell(`${file.name}: the file is larger than 8 MB. Paste its text instead.`);
  if ($("text").value.trim() && !confirm(`Replace the text with ${file.name}?`)) return;
  const type = FILE_TYPES[file.name.split(".").pop().toLowerCase()];
  await labelWith(async () => {
    const content = await ask("predict/file", file, type).catch(error => { throw new Error(error.message.replace(/^Body: /, `${file.name}: `)); });
    const { text, notes } = content.documents[0];
    fill(text);
    return [content, { text }, notes.length ? `${file.name}: ${notes.join("; ")}.` : ""];
  });
}

function readAsPage(source) { state.html = { shown: $("text").value, source }; }

function offerPage() {
  const text = $("text").value;
  const isPage = /^\s*<(!doctype|html|head|body|article|div|p)[\s>]/i.test(text);
  if (isPage && !state.html && confirm("This looks like the source of a web page. Read it as a page?")) readAsPage(text);
}

// The labels are those of the model with the thresholds of this page; `corrected` has the labels of the reader.
const rows = () => [...document.querySelectorAll("#article .sentence")].map(({ sentence, corrected }) => ({
  start: sentence.start, end: sentence.end, text: sentence.text, labels: assigned(sentence), corrected: corrected || null,
  probabilities: sentence.probabilities, thresholds: state.health.exclusive ? {} : state.thresholds,
  model_id: state.model, codebook: state.health.codebook,
}));

// Spreadsheets execute cells that begin like this. The rule and the last column are those of `labels/output/table_files.py`.
const EXECUTED = /^(?:[\t\r\n]|[\s\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*[=+\-@＝＋－＠])/;
const APOSTROPHES = "communique:apostrophes";

function csv() {
  // Quotes around every cell, doubled inside, as in RFC 4180; the mark at the beginning tells spreadsheets that it is UTF-8.
  const cell = value => `"${String(value).replaceAll('"', '""')}"`;
  const names = state.labels.map(label => label.name), by = (values, of) => names.map(name => of[name] ?? "");
  const limits = state.health.exclusive ? [] : names.map(name => `threshold:${name}`);
  const head = ["start", "end", "text", "labels", ...names.map(name => `p:${name}`), ...limits, "corrected", "model_id", "codebook"];
  const lines = rows().map(row => [
    row.start, row.end, row.text, row.labels.join("|"), ...by(names, row.probabilities),
    ...(limits.length ? by(names, row.thresholds) : []), row.corrected ? row.corrected.join("|") || "none" : "", row.model_id, row.codebook,
  ]);
  const isFormula = value => typeof value === "string" && EXECUTED.test(value);
  const safe = line => {
    const changed = head.filter((_, column) => isFormula(line[column]));
    return [...line.map(value => isFormula(value) ? `'${value}` : value), changed.length ? JSON.stringify(changed) : ""];
  };
  const safeHead = [...head.map(name => name.startsWith("'") || isFormula(name) ? `'${name}` : name), APOSTROPHES];
  return "\ufeff" + [safeHead, ...lines.map(safe)].map(line => line.map(cell).join(",")).join("\r\n") + "\r\n";
}

const jsonl = () => rows().map(row => JSON.stringify(row) + "\n").join("");

function download(ending, type, content) {
  const name = ($("title").value.trim() || state.document.text.trim().slice(0, 40)).replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60);
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = `labels-${name.replace(/^-|-$/g, "") || "article"}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function copy() {
  const lines = rows().filter(row => row.labels.length).map(row => `${row.labels.map(titleOf).join(", ")}\t${row.text.replaceAll(/\s+/g, " ")}`);
  try {
    await navigator.clipboard.writeText(lines.join("\n"));
    $("copy").textContent = `Copied ${plural(lines.length, "sentence", "sentences")}`;
  } catch {
    // Browsers offer the clipboard only to pages that are local or encrypted.
    $("copy").textContent = "The browser does not allow copying: download instead";
  }
  setTimeout(() => { $("copy").textContent = "Copy labelled sentences"; }, 2500);
}

function resetThresholds() {
  state.thresholds = { ...state.health.thresholds };
  update();
}

$("label").addEventListener("click", label);
$("example").addEventListener("click", example);
$("choose").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", event => { open(event.target.files[0]); event.target.value = ""; });
$("copy").addEventListener("click", copy);
$("csv").addEventListener("click", () => download("csv", "text/csv;charset=utf-8", csv()));
$("jsonl").addEventListener("click", () => download("jsonl", "application/jsonl;charset=utf-8", jsonl()));
$("close").addEventListener("click", unpin);
$("reset").addEventListener("click", resetThresholds);
$("only-labelled").addEventListener("change", event => { $("article").classList.toggle("only-labelled", event.target.checked); update(); });
$("text").addEventListener("keydown", event => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) label(); });
$("text").addEventListener("paste", () => setTimeout(offerPage));
for (const name of ["title", "text"]) $(name).addEventListener("focus", release);
for (const name of ["title", "text"]) $(name).addEventListener("input", () => {
  if ($("problem").textContent) tell("");
  if (state.document) stale(given() !== state.labelled);
});
document.addEventListener("keydown", event => { if (event.key === "Escape") unpin(); });
for (const name of ["dragenter", "dragover"]) $("input").addEventListener(name, event => { event.preventDefault(); $("input").classList.add("dropping"); });
for (const name of ["dragleave", "drop"]) $("input").addEventListener(name, event => { event.preventDefault(); $("input").classList.remove("dropping"); });
$("input").addEventListener("drop", event => open(event.dataTransfer.files[0]));
start();
