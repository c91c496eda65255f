"use strict";
// The page of the server: labels an article and shows the sentences in the running text. Texts are only ever set as
// text, never as HTML. Thresholds that are moved here apply to this page only.

const $ = id => document.getElementById(id);
const state = { health: null, codebook: null, labels: [], thresholds: {}, document: null, input: null, mayStore: false, html: "", shown: new Set() };

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function hue(name) {
  // The golden angle keeps neighbouring labels apart, however many there are.
  return String(Math.round((210 + state.labels.findIndex(label => label.name === name) * 137.5) % 360));
}

function coloured(element, name) {
  element.style.setProperty("--hue", hue(name));
  return element;
}

// -- requests

async function ask(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, options);
  const content = await answer.json().catch(() => null);
  if (answer.ok) return content;
  const problems = (content && content.detail || []).map(problem => problem.msg);
  throw new Error(problems.join("\n") || `The server answered with status ${answer.status}.`);
}

async function start() {
  try {
    [state.health, state.codebook] = await Promise.all([ask("health"), ask("codebook")]);
  } catch (error) {
    $("about").textContent = "The server cannot be reached.";
    return tell(error.message);
  }
  const { codebook, kind, model_id, synthetic } = state.health;
  if (state.health.corrections) $("text-hint").textContent = "The article is labelled on this server. It is stored only with your first correction, if you agree.";
  $("about").textContent = `${codebook}, a ${kind} model (${model_id})` +
    (synthetic ? ", trained on invented text: check it on labels of your own." : "");
  state.labels = state.codebook.labels;
  state.shown = new Set(state.labels.map(label => label.name));
  resetThresholds();
  showCodebook();
}

function tell(message) { $("problem").textContent = message; }

async function label() {
  const title = $("title").value.trim(), text = $("text").value;
  const html = state.html && state.html.text === text ? state.html.source : "";
  if (!text.trim()) return tell("Paste an article first, or open a file.");
  tell("");
  $("label").disabled = true;
  $("label").textContent = "Labelling …";
  try {
    const input = html ? { html } : title ? { title, text } : { text };
    const content = await ask("predict", { documents: [input] });
    Object.assign(state, { document: content.documents[0], input, mayStore: false });
    $("result").hidden = $("side").hidden = false;
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

function resetThresholds() {
  state.thresholds = { ...state.health.thresholds };
}

const titleOf = name => { const found = state.labels.find(label => label.name === name); return found.title || name; };

// -- the article

function show() {
  const { text, sentences, set_aside } = state.document;
  const spans = [
    ...sentences.map(sentence => ({ ...sentence, sentence })), ...set_aside,
  ].sort((left, right) => left.start - right.start);
  const article = $("article");
  article.replaceChildren();
  let position = 0;
  // Offsets count characters; JavaScript counts UTF-16 units, of which an emoji has two.
  const characters = Array.from(text), piece = (start, end) => characters.slice(start, end).join("");
  for (const span of spans) {
    const gap = piece(position, span.start);
    // A space is kept as it is; marks such as bullets and line breaks are kept too.
    if (gap) article.append(make("span", "gap", gap));
    article.append(span.sentence ? sentenceElement(span.sentence) : asideElement(piece(span.start, span.end), span.reason));
    position = span.end;
  }
  update();
}

function asideElement(text, reason) {
  const element = make("span", "aside", text);
  element.title = `Set aside: ${reason}`;
  return element;
}

function sentenceElement(sentence) {
  const element = make("span", "sentence", sentence.text);
  element.tabIndex = $("article").querySelector(".sentence") ? -1 : 0;
  element.setAttribute("role", "button");
  element.setAttribute("aria-controls", "detail");
  element.sentence = sentence;
  for (const event of ["mouseenter", "focus", "click"]) element.addEventListener(event, () => detail(element));
  element.addEventListener("keydown", event => move(event, element));
  return element;
}

function move(event, element) {
  // The article is one stop of the Tab key; the arrow keys move between its sentences.
  const all = [...document.querySelectorAll("#article .sentence")].filter(other => other.offsetParent);
  const position = all.indexOf(element), last = all.length - 1;
  const steps = { ArrowRight: position + 1, ArrowDown: position + 1, ArrowLeft: position - 1, ArrowUp: position - 1, Home: 0, End: last };
  if (event.key === "Enter" || event.key === " ") $("detail").scrollIntoView({ block: "nearest" });
  else if (event.key in steps) all[Math.max(0, Math.min(last, steps[event.key]))].focus();
  else return;
  event.preventDefault();
}

function update() {
  const counts = Object.fromEntries(state.labels.map(label => [label.name, 0]));
  let labelled = 0;
  for (const element of document.querySelectorAll("#article .sentence")) {
    const names = assigned(element.sentence), visible = names.filter(name => state.shown.has(name));
    names.forEach(name => { counts[name] += 1; });
    labelled += names.length > 0;
    element.classList.toggle("labelled", visible.length > 0);
    element.classList.toggle("plain", visible.length === 0);
    const chips = visible.map(name => coloured(make("span", "chip", titleOf(name)), name));
    if (element.corrected) chips.push(make("span", "chip corrected", `corrected: ${element.corrected.map(titleOf).join(", ") || "none"}`));
    element.replaceChildren(element.sentence.text, ...chips);
    if (visible.length) coloured(element, visible[0]);
  }
  const total = state.document.sentences.length, aside = state.document.set_aside.length;
  $("summary").textContent = `${labelled} of ${total} ${total === 1 ? "sentence has" : "sentences have"} a label` +
    (aside ? `; ${aside} ${aside === 1 ? "line was" : "lines were"} set aside as boilerplate.` : ".");
  showLabels(counts);
  const current = document.querySelector(".sentence.current");
  if (current && !current.corrected) detail(current);
}

function showLabels(counts) {
  const list = $("labels");
  $("reset").hidden = state.health.exclusive;
  if (list.children.length) {
    for (const item of list.children) {
      item.querySelector(".count").textContent = counts[item.dataset.name];
      const slider = item.querySelector("input[type=range]");
      if (slider) { slider.value = state.thresholds[item.dataset.name]; item.querySelector(".number").textContent = Number(slider.value).toFixed(2); }
    }
    return;
  }
  for (const label of state.labels) {
    const item = coloured(make("li"), label.name);
    item.dataset.name = label.name;
    const box = make("input");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => { state.shown[box.checked ? "add" : "delete"](label.name); update(); });
    const head = make("label", "check head", box, make("span", "swatch"), titleOf(label.name), make("span", "count", String(counts[label.name])));
    head.title = label.definition;
    item.append(head);
    if (!state.health.exclusive) item.append(slider(label));
    list.append(item);
  }
}

function slider(label) {
  const range = make("input"), number = make("output", "number", state.thresholds[label.name].toFixed(2));
  Object.assign(range, { type: "range", min: 0, max: 1, step: 0.01, value: state.thresholds[label.name] });
  range.addEventListener("input", () => { state.thresholds[label.name] = Number(range.value); update(); });
  range.setAttribute("aria-label", `Threshold for ${titleOf(label.name)}`);
  return make("div", "slide", make("span", "soft", "threshold"), range, number);
}

function detail(element) {
  document.querySelectorAll(".sentence.current").forEach(other => other.classList.remove("current"));
  element.classList.add("current");
  if (document.activeElement === element) $("detail").classList.add("open");
  document.querySelectorAll("#article .sentence").forEach(other => { other.tabIndex = other === element ? 0 : -1; });
  const sentence = element.sentence, names = assigned(sentence), bars = make("ul", "bars");
  for (const [name, probability] of Object.entries(sentence.probabilities).sort((a, b) => b[1] - a[1]).slice(0, 12)) {
    const fill = make("div", "fill"), track = make("div", "track", fill);
    fill.style.width = `${100 * probability}%`;
    let numbers = probability.toFixed(2);
    if (!state.health.exclusive) {
      const tick = make("div", "tick");
      tick.style.left = `calc(${100 * state.thresholds[name]}% - 1px)`;
      track.append(tick);
      numbers += ` / ${state.thresholds[name].toFixed(2)}`;
    }
    const title = names.includes(name) ? make("strong", "", titleOf(name)) : make("span", "soft", titleOf(name));
    const item = coloured(make("li", "", make("div", "line", title, make("span", "number", numbers)), track), name);
    const definition = state.labels.find(label => label.name === name).definition;
    if (names.includes(name) && definition) item.append(make("p", "soft", definition));
    bars.append(item);
  }
  const hint = state.health.exclusive ? "Probability of each label." : "Probability and threshold of each label.";
  $("detail-body").replaceChildren(make("blockquote", "", sentence.text), make("p", "soft", hint), bars);
  if (state.health.corrections) $("detail-body").append(correctionForm(element, names));
}

// -- corrections, if the server accepts them

function correctionForm(element, names) {
  const chosen = element.corrected || names, boxes = make("fieldset"), form = make("form", "correction");
  boxes.append(make("legend", "", "Correct labels"));
  const kind = state.health.exclusive ? "radio" : "checkbox";
  const choices = state.labels.map(label => [label.name, titleOf(label.name)]);
  if (state.health.exclusive && state.codebook.allow_none) choices.push(["", "None"]);
  for (const [name, title] of choices) {
    const box = make("input");
    Object.assign(box, { type: kind, name: "correction", value: name, checked: name ? chosen.includes(name) : !chosen.length });
    boxes.append(make("label", "check", box, title));
  }
  const save = make("button", "", "Save correction"), said = make("p", "soft");
  said.setAttribute("role", "status");
  said.textContent = element.corrected ? "Saved." : "";
  form.append(boxes, storeQuestion(), save, said);
  form.addEventListener("submit", event => { event.preventDefault(); correct(element, form, said); });
  return form;
}

function storeQuestion() {
  // Nothing is stored before the reader agrees to it, once for each article.
  const box = make("input");
  Object.assign(box, { type: "checkbox", name: "store", checked: state.mayStore, required: true });
  box.addEventListener("change", () => { state.mayStore = box.checked; });
  return make("label", "check", box, "Store this article and my correction in the label store");
}

async function correct(element, form, said) {
  const labels = [...form.querySelectorAll("[name=correction]:checked")].map(box => box.value).filter(Boolean);
  const { start, end } = element.sentence, suggestion = assigned(element.sentence);
  try {
    const answer = await ask("corrections", {
      document: state.input, store_document: state.mayStore, corrections: [{ start, end, labels, suggestion }],
    });
    element.corrected = labels;
    said.textContent = `Saved as a decision of ${answer.annotator}.`;
    update();
  } catch (error) {
    said.textContent = error.message;
  }
}

// -- the codebook

function showCodebook() {
  $("codebook-description").textContent = state.codebook.description;
  for (const label of state.labels) {
    const term = coloured(make("dt", "", make("span", "swatch"), titleOf(label.name)), label.name);
    const parts = [make("p", "", label.definition)];
    for (const [word, rules] of [["Include", label.include], ["Exclude", label.exclude]])
      if (rules.length) parts.push(make("p", "", make("strong", "", `${word}: `), rules.join("; ")));
    $("definitions").append(term, make("dd", "", ...parts));
  }
}

function example() {
  const found = state.labels.flatMap(label => label.examples.slice(0, 2).map(entry => entry.text));
  const others = state.labels.flatMap(label => label.counterexamples.slice(0, 1).map(entry => entry.text));
  const sentences = [...found, ...others].slice(0, 12);
  $("title").value = "";
  $("text").value = sentences.length ? sentences.join("\n\n") :
    "The envoy urged both armies to stop shelling the valley before Friday.\n\nRain fell for most of the morning.";
  label();
}

// -- files, copies, downloads

async function open(file) {
  if (!file) return;
  if (!/\.(txt|html?)$/i.test(file.name)) return tell(`${file.name}: only .txt and .html files can be opened. Save the article as text.`);
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    return tell(`${file.name}: the file is not UTF-8 text. Save it as UTF-8.`);
  }
  state.html = /\.html?$/i.test(file.name) ? { text: $("text").value, source: text } : "";
  $("title").value = "";
  $("text").value = text;
  if (state.html) state.html.text = $("text").value;
  label();
}

const rows = () => state.document.sentences.map(sentence => ({ ...sentence, labels: assigned(sentence) }));

function csv() {
  // Quotes around every cell, doubled inside, as RFC 4180 says. The mark at the beginning tells spreadsheets that it is UTF-8.
  const cell = value => `"${String(value).replaceAll('"', '""')}"`;
  const names = state.labels.map(label => label.name);
  const head = ["start", "end", "text", "labels", ...names.map(name => `p:${name}`)];
  const lines = rows().map(row => [row.start, row.end, row.text, row.labels.join("|"), ...names.map(name => row.probabilities[name] ?? "")]);
  return "\ufeff" + [head, ...lines].map(line => line.map(cell).join(",")).join("\r\n") + "\r\n";
}

const jsonl = () => rows().map(row => JSON.stringify(row) + "\n").join("");

function download(name, type, content) {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function copy() {
  const lines = rows().filter(row => row.labels.length).map(row => `${row.labels.join("|")}\t${row.text.replaceAll(/\s+/g, " ")}`);
  await navigator.clipboard.writeText(lines.join("\n"));
  $("copy").textContent = "Copied";
  setTimeout(() => { $("copy").textContent = "Copy"; }, 1500);
}

$("label").addEventListener("click", label);
$("example").addEventListener("click", example);
$("choose").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", event => { open(event.target.files[0]); event.target.value = ""; });
$("copy").addEventListener("click", copy);
$("csv").addEventListener("click", () => download("labels.csv", "text/csv;charset=utf-8", csv()));
$("jsonl").addEventListener("click", () => download("labels.jsonl", "application/jsonl;charset=utf-8", jsonl()));
$("close").addEventListener("click", () => $("detail").classList.remove("open"));
$("reset").addEventListener("click", () => { resetThresholds(); update(); });
$("only-labelled").addEventListener("change", event => $("article").classList.toggle("only-labelled", event.target.checked));
$("text").addEventListener("keydown", event => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) label(); });
for (const name of ["dragenter", "dragover"]) $("input").addEventListener(name, event => { event.preventDefault(); $("input").classList.add("dropping"); });
for (const name of ["dragleave", "drop"]) $("input").addEventListener(name, event => { event.preventDefault(); $("input").classList.remove("dropping"); });
$("input").addEventListener("drop", event => open(event.dataTransfer.files[0]));
start();
