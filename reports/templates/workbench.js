// The workbench: sends the variant when the writer pauses, and shows the newest answer.  The address carries the
// variant after its #, which a browser keeps to itself.
const by = (id) => document.getElementById(id);
const text = by("text"), architecture = by("architecture"), outcome = by("outcome"), answer = by("answer");
const gutter = document.querySelector(".gutter"), marks = document.querySelector(".marks");
const LIMIT = Number(text.dataset.limit), PAUSE = 500;
let asked = null, pause = 0;

const element = (name, properties, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

// ---------------------------------------------------------------- the editor

const follow = () => {
  gutter.scrollTop = marks.scrollTop = text.scrollTop;
  marks.scrollLeft = text.scrollLeft;
};

// Columns count characters, and a string's index counts halves of some.
const offset = (line, column) => {
  const lines = text.value.split("\n"), before = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  return before + [...(lines[line - 1] ?? "")].slice(0, column - 1).join("").length;
};

const draw = (place) => {
  const count = text.value.split("\n").length, numbers = [];
  for (let n = 1; n <= count; n++) numbers.push(n === place?.line ? element("b", {}, `▸${n}`) : String(n), "\n");
  gutter.replaceChildren(...numbers);
  marks.replaceChildren();
  if (place) {
    const start = offset(place.line, place.column ?? 1), found = text.value.slice(start).match(/^(\w+|[^\n])/u);
    const word = found ? found[0] : "";
    marks.append(text.value.slice(0, start), element("mark", {}, word || " "), text.value.slice(start + word.length), "\n");
  }
  text.setAttribute("aria-invalid", place ? "true" : "false");
  follow();
};

const goTo = (place) => {
  const start = offset(place.line, place.column ?? 1);
  text.focus();
  text.setSelectionRange(start, start);
};

// ---------------------------------------------------------------- the link

const piped = async (bytes, stream, limit) => {
  const parts = [];
  let size = 0;
  for await (const part of chunks(new Blob([bytes]).stream().pipeThrough(stream))) {
    size += part.length;
    if (size > limit) throw new RangeError("the link holds too much");
    parts.push(part);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
};

async function* chunks(stream) {
  const reader = stream.getReader();
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
  } finally {
    reader.cancel().catch(() => {});
  }
}

const packed = async (given) => {
  const bytes = await piped(new TextEncoder().encode(JSON.stringify(given)), new CompressionStream("deflate-raw"), Infinity);
  const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
};

const unpacked = async (code) => {
  const letters = atob(code.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
  const found = JSON.parse(new TextDecoder().decode(await piped(bytes, new DecompressionStream("deflate-raw"), 2 * LIMIT)));
  if (typeof found.text !== "string") throw new TypeError("the link holds no variant");
  return found;
};

const given = () => ({ text: text.value, architecture: architecture.value || null });

const remember = async (now) => {
  const code = await packed(now);
  if (now.text === text.value) history.replaceState(null, "", `#${code}`);
};

const recall = async () => {
  if (location.hash.length > 1) {
    try {
      const found = await unpacked(location.hash.slice(1));
      text.value = found.text;
      architecture.value = found.architecture ?? "";
      if (architecture.selectedIndex < 0) architecture.value = "";
    } catch {
      leave();
      busy(false);
      fail({ message: "the link holds no variant that can be read" });
      return;
    }
  }
  await check();
};

// ---------------------------------------------------------------- the answer

const SIGNS = { proved: "✓", refuted: "✗", undecided: "?" };
const SAYS = {
  proved: "never changes what the model computes.",
  refuted: "can change what the model computes.",
  undecided: "was neither proved nor refuted.",
};

const show = (found) => {
  const sign = element("span", { ariaHidden: "true" }, SIGNS[found.verdict]);
  const verdict = element("span", { className: `verdict ${found.verdict}` }, sign, ` ${found.verdict}`);
  outcome.replaceChildren(
    element("p", {}, verdict, ` ${found.variant.name} ${SAYS[found.verdict]}`),
    element("p", { className: "detail" }, `${found.architecture}, ${found.seconds.toFixed(2)} s`),
  );
  draw(null);
  answer.innerHTML = found.html;
  answer.querySelectorAll(".scroll, .divergence").forEach((box) => { box.tabIndex = 0; }); // the arrow keys scroll it
  answer.querySelectorAll(".repair").forEach((repair, i) => {
    const name = `Put repair ${i + 1} into the editor`;
    repair.append(element("button", { type: "button", onclick: () => put(found.repairs[i].variant) }, name));
  });
};

const fail = (error) => {
  const lines = [element("p", {}, `✗ ${error.message}`)];
  if (error.line) {
    const where = `line ${error.line}` + (error.column ? `, column ${error.column}` : "");
    lines.unshift(element("p", {}, element("button", { type: "button", className: "place", onclick: () => goTo(error) }, where)));
  }
  for (const part of ["found", "expected"]) {
    if (error[part]) lines.push(element("p", { className: "detail" }, `${part}: ${error[part]}`));
  }
  outcome.replaceChildren(element("div", { className: "error" }, ...lines));
  draw(error.line ? error : null);
  answer.replaceChildren();
};

const busy = (now) => {
  by("busy").hidden = !now;
  answer.setAttribute("aria-busy", String(now));
  answer.classList.toggle("old", now);
};

// What was asked, or is about to be, is not waited for.
const leave = () => {
  clearTimeout(pause);
  asked?.abort();
  asked = null;
};

const check = async () => {
  leave();
  const mine = asked = new AbortController();
  const now = given();
  busy(true);
  const late = setTimeout(() => mine.abort(), 60_000);
  try {
    const found = await ask(now, mine.signal);
    if (mine !== asked) return;
    if (found.error) fail(found.error);
    else show(found);
  } catch {
    if (mine === asked) fail({ message: "the workbench does not answer", expected: "growproof serve still runs" });
  } finally {
    clearTimeout(late);
    if (mine === asked) busy(false);
  }
  if (mine === asked) await remember(now);
};

// Where too many wait, the server says when to come back.
const ask = async (now, signal) => {
  const body = JSON.stringify(now);
  if (new TextEncoder().encode(body).length > LIMIT) return { error: { message: `a variant has at most ${LIMIT} bytes` } };
  for (;;) {
    const response = await fetch("check", { method: "POST", headers: { "Content-Type": "application/json" }, body, signal });
    if (response.status !== 503) return response.json();
    await new Promise((resolve) => setTimeout(resolve, 1000 * Number(response.headers.get("Retry-After") ?? 2)));
    signal.throwIfAborted();
  }
};

// ---------------------------------------------------------------- what the reader does

// What was there before stays one step back in the history.
const put = (variant) => {
  history.pushState(null, "", location.hash);
  text.value = variant;
  text.scrollTop = 0;
  check();
};

text.addEventListener("scroll", follow);
text.addEventListener("input", () => {
  draw(null);
  leave();
  busy(true); // what is shown is of an older text from here on
  pause = setTimeout(check, PAUSE);
});
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    check();
  }
});
by("bench").addEventListener("submit", (event) => {
  event.preventDefault();
  check();
});
architecture.addEventListener("change", check);
by("open").addEventListener("click", async () => {
  const response = await fetch(`catalogue/${by("example").value}`);
  if (response.ok) put(await response.text());
});
by("link").addEventListener("click", async () => {
  await remember(given());
  const copied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
  by("link").textContent = copied ? "Link copied" : "The link is in the address bar";
  setTimeout(() => { by("link").textContent = "Copy link"; }, 2500);
});
addEventListener("popstate", recall);
recall();
