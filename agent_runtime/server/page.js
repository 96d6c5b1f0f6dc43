// The chat page: sends the conversation to /v1/runs and shows what happens, as it happens.
// Nothing that was said is ever put into the page as HTML, only as text.

const page = Object.fromEntries(
  ["state", "tools", "new", "conversation", "empty", "ask", "question", "send", "stop", "key"].map((id) => [
    id,
    document.getElementById(id),
  ]),
);

// The conversation as the server keeps it, and for each message the element its text stands in (or null).
let messages = [];
let places = [];
let running = null;
let epoch = 0; // counts conversations, so that an old answer cannot enter a new one

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function show(element) {
  page.empty.hidden = true;
  page.conversation.append(element);
  follow();
  return element;
}

// Keep the newest words in view, unless the reader has scrolled away from them.
let isFollowing = true;

function follow() {
  if (isFollowing) page.conversation.scrollTop = page.conversation.scrollHeight;
}

let lastTop = 0;

page.conversation.addEventListener("scroll", () => {
  // Only a reader scrolls up. How far the end is says little: it may have moved since.
  const { scrollHeight, scrollTop, clientHeight } = page.conversation;
  if (scrollTop < lastTop - 4) isFollowing = false;
  if (scrollHeight - scrollTop - clientHeight < 40) isFollowing = true;
  lastTop = scrollTop;
});

// A message's text with its marks. Positions count characters as Python does, not UTF-16 units.
class Said {
  constructor(element, text = "") {
    this.element = element;
    this.text = text;
    this.spans = [];
    this.render();
  }

  add(text) {
    this.text += text;
    this.render();
  }

  mark(start, end, slot) {
    this.spans.push({ start, end, slot });
    this.render();
  }

  render() {
    const characters = Array.from(this.text);
    const edges = [...new Set([0, characters.length, ...this.spans.flatMap((span) => [span.start, span.end])])]
      .filter((edge) => edge <= characters.length)
      .sort((a, b) => a - b);
    this.element.replaceChildren();
    for (let at = 0; at + 1 < edges.length; at++) {
      const text = characters.slice(edges[at], edges[at + 1]).join("");
      const here = this.spans.filter((span) => span.start <= edges[at] && span.end >= edges[at + 1]);
      if (!here.length) {
        this.element.append(text);
        continue;
      }
      const mark = make("mark", "", text);
      mark.dataset.slots = here.map((span) => span.slot).join(" ");
      mark.title = here.map((span) => span.slot.split("/").at(-1)).join(", ");
      this.element.append(mark);
    }
  }
}

function sureness(confidence) {
  return confidence >= 0.8 ? "sure" : confidence >= 0.5 ? "unsure" : "doubtful";
}

function percent(confidence) {
  return `${Math.round(100 * confidence)}%`;
}

function confidenceOf(confidence) {
  const box = make("span", `confidence ${sureness(confidence)}`);
  const meter = make("meter");
  meter.min = 0;
  meter.max = 1;
  meter.low = 0.5;
  meter.high = 0.8;
  meter.optimum = 1;
  meter.value = confidence;
  meter.setAttribute("aria-label", "confidence");
  box.append(meter, make("span", "", percent(confidence)));
  return box;
}

function light(slot, isLit) {
  for (const mark of document.querySelectorAll("mark")) {
    if (mark.dataset.slots.split(" ").includes(slot)) mark.classList.toggle("lit", isLit);
  }
}

class CallCard {
  constructor(id, name) {
    this.id = id;
    this.element = show(make("section", "call"));
    this.element.setAttribute("aria-label", `call of ${name}`);
    this.head = make("div", "head");
    this.head.append(make("span", "name", name), make("span", "waiting", "…"));
    this.element.append(this.head);
  }

  fill(call) {
    this.head.lastChild.replaceWith(confidenceOf(call.confidence));
    const slots = Object.entries(call.slots);
    if (!slots.length) {
      this.element.append(make("div", "none", "no arguments"));
      return;
    }
    const table = make("table");
    for (const [path, slot] of slots) table.append(this.row(path, slot));
    this.element.append(table);
  }

  row(path, slot) {
    const row = make("tr");
    const value = make("td", "value", typeof slot.value === "string" ? slot.value : JSON.stringify(slot.value));
    const sure = make("td");
    sure.append(confidenceOf(slot.confidence));
    row.append(make("th", "", path), value, sure);
    row.dataset.path = path;
    const place = slot.evidence && places[slot.evidence.message_index];
    if (place) {
      const name = `${this.id}/${path}`;
      place.mark(slot.evidence.start, slot.evidence.end, name);
      row.tabIndex = 0;
      row.title = "read from the marked words";
      for (const [event, isLit] of [["mouseenter", true], ["focus", true], ["mouseleave", false], ["blur", false]]) {
        row.addEventListener(event, () => light(name, isLit));
      }
    } else {
      row.title = "not found in the conversation";
    }
    return row;
  }

  drop() {
    this.element.remove();
  }

  answer(result) {
    const box = make("div", `result ${result.status}`);
    this.element.append(box);
    return new Said(box, result.message);
  }
}

// One answer to one question: several turns with calls and results between them.
class Answer {
  constructor() {
    this.cards = new Map();
    this.results = new Map();
    this.begin();
  }

  begin() {
    this.said = null;
    this.thought = null;
    this.calls = [];
  }

  take(event) {
    switch (event.type) {
      case "turn_started":
        this.enterResults();
        this.begin();
        break;
      case "text":
        this.said ??= new Said(show(make("div", "said assistant")));
        this.said.add(event.text);
        break;
      case "reasoning":
        this.thought ??= show(make("div", "thought", ""));
        this.thought.textContent += event.text;
        break;
      case "call_started":
        this.cards.set(event.id, new CallCard(event.id, event.name));
        break;
      case "call":
        this.cards.get(event.call.id)?.fill(event.call);
        this.calls.push(event.call.id);
        break;
      case "turn":
        this.dropUnfinished();
        places.push(this.said);
        if (event.stop_reason === "abstained") show(make("div", "thought", "The model was not sure enough to call."));
        if (event.stop_reason === "length") show(make("div", "thought", "The answer was cut: it got too long."));
        this.waiting = this.calls;
        break;
      case "result":
        this.results.set(event.call_id, this.cards.get(event.call_id)?.answer(event) ?? null);
        break;
      case "run":
        messages = event.messages;
        places.length = messages.length;
        break;
    }
  }

  // Results enter the conversation in the order of their calls, not in the order they came back.
  // Calls that were never run because the turns were used up leave the conversation again.
  enterResults() {
    const answered = (this.waiting ?? []).filter((id) => this.results.has(id));
    if (this.waiting?.length && !answered.length) places.pop();
    for (const id of answered) places.push(this.results.get(id));
    this.waiting = [];
  }

  dropUnfinished() {
    for (const [id, card] of this.cards) {
      if (!this.calls.includes(id) && !this.results.has(id)) card.drop();
    }
  }
}

function headers() {
  const made = { "Content-Type": "application/json" };
  const key = sessionStorage.getItem("smolcall-key");
  if (key) made.Authorization = `Bearer ${key}`;
  return made;
}

function fail(text) {
  show(make("div", "error", text)).setAttribute("role", "alert");
}

async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const parts = held.split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: /, "");
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

async function ask(question) {
  const before = { messages, places: [...places] };
  const mine = epoch;
  messages = [...messages, { role: "user", content: question }];
  places.push(new Said(show(make("div", "said user")), question));
  isFollowing = true;
  follow();
  running = new AbortController();
  setRunning(true);
  const answer = new Answer();
  try {
    const response = await fetch("/v1/runs", {
      method: "POST",
      headers: headers(),
      body: JSON.stringify({ messages }),
      signal: running.signal,
    });
    if (!response.ok) throw await problemOf(response);
    let isWhole = false;
    for await (const event of eventsOf(response)) {
      if (epoch !== mine) return;
      if (event.error) throw new Error(event.error.message);
      answer.take(event);
      follow();
      isWhole ||= event.type === "run";
    }
    if (!isWhole) throw new Error("the connection was lost in the middle of the answer");
  } catch (error) {
    if (epoch !== mine) return;
    answer.dropUnfinished();
    ({ messages, places } = before);
    fail(error.name === "AbortError" ? "Stopped. The question is not part of the conversation." : error.message);
  } finally {
    running = null;
    setRunning(false);
  }
}

async function problemOf(response) {
  if (response.status === 401) askForKey();
  try {
    return new Error((await response.json()).error.message);
  } catch {
    return new Error(`the server answered with status ${response.status}`);
  }
}

function askForKey() {
  for (const element of document.querySelectorAll(".key")) element.hidden = false;
  page.key.focus();
}

function setRunning(isRunning) {
  page.send.disabled = isRunning;
  page.stop.hidden = !isRunning;
  page.conversation.setAttribute("aria-busy", String(isRunning));
  if (!isRunning) page.question.focus();
  follow();
}

async function look() {
  try {
    const response = await fetch("/ready");
    page.state.textContent = response.ok ? "ready" : "the model is being loaded…";
    if (!response.ok) setTimeout(look, 500);
  } catch {
    page.state.textContent = "the server cannot be reached";
    setTimeout(look, 2000);
  }
}

async function listTools() {
  const response = await fetch("/v1/tools", { headers: headers() });
  if (response.status === 401) return askForKey();
  if (!response.ok) return;
  const list = page.tools.querySelector("ul");
  list.replaceChildren();
  const { data } = await response.json();
  page.tools.querySelector("summary").textContent = `${data.length} ${data.length === 1 ? "tool" : "tools"}`;
  for (const tool of data) {
    const item = make("li");
    item.append(make("b", "", tool.name), ` ${tool.description.split("\n")[0]}`);
    list.append(item);
  }
}

page.ask.addEventListener("submit", (event) => {
  event.preventDefault();
  const question = page.question.value.trim();
  if (!question || running) return;
  page.question.value = "";
  ask(question);
});

page.question.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  page.ask.requestSubmit();
});

page.key.addEventListener("change", () => {
  sessionStorage.setItem("smolcall-key", page.key.value);
  listTools();
});

page.stop.addEventListener("click", () => running?.abort());

page.new.addEventListener("click", () => {
  running?.abort();
  epoch += 1;
  messages = [];
  places = [];
  page.conversation.replaceChildren(page.empty);
  page.empty.hidden = false;
  page.question.focus();
});

look();
listTools();
