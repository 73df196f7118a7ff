// A lesson: steps revealed one by one, and exercises.  What is said of an answer was decided by the prover when the
// page was written; a factor is compared by numbers (course-factor.js stands before this script), a model is run, and
// where the page is served the prover is asked.
const element = (name, text, className) => {
  const made = document.createElement(name);
  if (text) made.append(text);
  if (className) made.className = className;
  return made;
};

// ---------------------------------------------------------------- steps

for (const box of document.querySelectorAll(".reveal")) {
  const lines = [...box.querySelectorAll(".chain > li")];
  const controls = element("div", "", "controls-of-steps"), place = element("span", "", "role");
  const next = element("button", "Next step"), all = element("button", "All steps"), again = element("button", "Again");
  [next, all, again].forEach((button) => { button.type = "button"; });
  place.setAttribute("role", "status");
  let shown = 1;
  const show = (count, said) => {
    shown = Math.max(1, Math.min(count, lines.length));
    lines.forEach((line, i) => line.classList.toggle("later", i >= shown));
    const end = box.querySelector(".end");
    if (end) end.classList.toggle("later", shown < lines.length);
    for (const button of [next, all]) button.ariaDisabled = String(shown === lines.length);  // the focus stays where it is
    again.disabled = shown === 1;
    const rule = lines[shown - 1].querySelector(".reason");
    place.textContent = said ? `Step ${shown - 1} of ${lines.length - 1}${rule ? `: ${rule.textContent}` : ""}` : lines.length === 2 ? "1 step" : `${lines.length - 1} steps`;
  };
  const further = (count) => { if (shown < lines.length) show(count, true); };
  next.addEventListener("click", () => further(shown + 1));
  all.addEventListener("click", () => further(lines.length));
  again.addEventListener("click", () => { show(1, false); next.focus(); });
  controls.append(next, all, again, place);
  box.append(controls);
  show(1, false);
}

// ---------------------------------------------------------------- what is said

const say = (box, right, text, ...more) => {
  const answer = box.querySelector(".answer");
  const line = element("p", `${right ? "✓ Right" : "✗ Not yet"}${text ? `: ${text}` : "."}`, right ? "good" : "bad");
  answer.replaceChildren(line, ...more.filter(Boolean));
};
const agree = (box, text) => box.querySelector(".answer").replaceChildren(element("p", `✓ Agrees: ${text}`, "good"));
const please = (box, text) => box.querySelector(".answer").replaceChildren(element("p", text, "open"));
const said = (box, i) => {
  const found = box.querySelectorAll("template.said")[i];
  return found ? found.content.cloneNode(true) : null;
};
const formula = (box, i) => {
  const holder = element("div", "", "formula scroll");
  holder.tabIndex = 0;
  holder.append(box.querySelectorAll("template.formula-of")[i].content.cloneNode(true));
  return holder;
};
const chosen = (box) => [...box.querySelectorAll("fieldset input:checked:not(.none)")].map((input) => Number(input.value));

const ask = async (box, answer) => {
  please(box, "The prover is at work …");
  try {
    const reply = await fetch("/exercise", {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ lesson: box.dataset.lesson, exercise: box.dataset.name, answer }),
    });
    const found = await reply.json();
    if (!found.html) { please(box, (found.error && found.error.message) || "The prover gave no answer. Try again."); return; }
    const page = new DOMParser().parseFromString(found.html, "text/html");
    box.querySelector(".answer").replaceChildren(...page.body.childNodes);
  } catch { please(box, "The prover cannot be reached. Is growproof serve still running?"); }
};

// ---------------------------------------------------------------- a rounded number

// The short fraction that a decimal rounds and is not, or the one whose root it rounds.
const nearest = (above, part) => {
  const unit = 10n ** BigInt(part.length), number = BigInt(above + part), most = Math.floor(10 ** (Math.min(part.length, 9) / 3) + 1e-9);
  const written = (p, q) => `${p}${q > 1n ? `/${q}` : ""}`;
  for (let q = 1n; q <= most; q += 1n) {
    const p = (2n * number * q + unit) / (2n * unit), apart = size(p * unit - number * q);
    if (apart > 0n && apart < q) return written(p, q);
  }
  for (let q = 1n; q <= most && above.length === 1; q += 1n) {
    const square = unit * unit, p = (number * number * q + square / 2n) / square, wanted = 4n * square * p;
    const [least, middle, largest] = [-1n, 0n, 1n].map((d) => (2n * number + d) ** 2n * q);
    if (least < wanted && wanted < largest && wanted !== middle) return `sqrt(${written(p, q)})`;
  }
  return "";
};
const rounded = (text) => {
  for (const [found, above, part] of text.matchAll(/(\d+)\.(\d\d+)/g)) {
    const near = nearest(above, part);
    if (near) return `${found.length > 20 ? `${found.slice(0, 19)}…` : found} is rounded, write ${near}`;
  }
  return "";
};

// ---------------------------------------------------------------- a small model

const multiply = (A, B) => A.map((row) => B[0].map((_, j) => row.reduce((sum, a, k) => sum + a * B[k][j], 0)));
const add = (A, B) => A.map((row, i) => row.map((a, j) => a + (B.length === 1 ? B[0][j] : B[i][j])));
const turned = (A) => A[0].map((_, j) => A.map((row) => row[j]));
const normed = (X, g, eps) => X.map((row) => {
  const root = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0) / row.length + eps);
  return row.map((x, j) => x / root * g[0][j]);
});
const attention = (X, head) => {
  const scores = multiply(multiply(X, head.W_Q), turned(multiply(X, head.W_K)));
  const weights = scores.map((row) => {
    const scaled = row.map((x) => x * (head.scale ?? 1 / Math.sqrt(head.W_Q[0].length)));
    const powers = scaled.map((x) => Math.exp(x - Math.max(...scaled))), total = powers.reduce((a, b) => a + b);
    return powers.map((x) => x / total);
  });
  return multiply(multiply(weights, multiply(X, head.W_V)), head.W_O);
};
const transformer = (model, eps) => {
  let X = add(model.I, model.P);
  for (const layer of model.layers) {
    const read = normed(X, layer.g_MHA, eps);
    for (const head of layer.heads) X = add(X, attention(read, head));
    const hidden = add(multiply(normed(X, layer.g_MLP, eps), layer.W_l1), layer.b_l1).map((row) => row.map((x) => Math.max(x, 0)));
    X = add(add(X, multiply(hidden, layer.W_l2)), layer.b_l2);
  }
  return multiply(X, model.W_out);
};
const added = (table, slope, factor) => {
  if (typeof table === "number") return table + factor * slope;
  if (Array.isArray(table)) return table.map((entry, i) => added(entry, slope[i], factor));
  return Object.fromEntries(Object.entries(table).map(([name, entry]) => [name, added(entry, slope[name], factor)]));
};
const written = (matrix) => `[${matrix.map((row) => row.map((x) => String(Number(x.toPrecision(4)))).join(", ")).join("; ")}]`;
const numberIn = (text) => {
  const number = /^\s*[-+−–]?\s*[¼½¾⅐-⅞]\s*$/.test(text) ? text.normalize("NFKC") : text;
  const found = plainSigns(number).trim().match(/^([+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,2})?)(?:\s*\/\s*(\d{1,40}))?$/);
  return found && Number(found[2] ?? 1) ? Number(found[1]) / Number(found[2] ?? 1) : NaN;
};

// ---------------------------------------------------------------- the kinds

const choice = (box, data) => {
  const own = box.querySelector(".own").value.trim();
  if (served && own) { ask(box, own); return; }
  const [i] = chosen(box);
  if (i === undefined) { please(box, "Choose one of the answers first."); return; }
  say(box, data.right[i], "", said(box, i));
};

const names = (blocks, picked) => picked.map((i) => blocks[i]).join(", ");

const CHECKS = {
  fill: choice,
  repair: choice,
  design: (box) => {
    const own = box.querySelector(".own").value.trim();
    if (!own) please(box, "Write a variant file first: name, [grows], [new], [rewrite], [constraints].");
    else if (served) ask(box, own);
    else please(box, "This page has no prover. Save your text as my.toml and run: growproof check my.toml. Or open the pack with growproof serve --course.");
  },
  zeros: (box, data) => {
    const zeros = new Set(chosen(box)), inside = (set) => set.every((i) => zeros.has(i));
    const reason = data.enough.find(inside);
    if (reason) {
      const spare = [...zeros].filter((i) => !reason.includes(i));
      const ending = data.dead.find(([set]) => set.length === zeros.size && set.every((i) => zeros.has(i)));
      const text = spare.length ? `proved for all sizes; ${names(data.blocks, spare)} need not be zero` : "proved for all sizes, and each of these zeros is needed";
      say(box, !(data.alive && ending && ending[1]), text + (ending ? ending[1] : ""));
      return;
    }
    const witness = data.notEnough.findIndex((set) => [...zeros].every((i) => set.includes(i)));
    if (witness < 0) please(box, "The prover could not decide this set when the page was written; it may be right.");
    else say(box, false, "", said(box, witness));
  },
  learns: (box, data) => {
    const picked = new Set(chosen(box)), none = box.querySelector(".none").checked;
    if (!picked.size && !none) { please(box, "Tick what moves at the first step, or none of them."); return; }
    const resting = [...picked].find((i) => data.first[i] !== 1);
    const missing = data.first.some((step, i) => step === 1 && !picked.has(i));
    const when = (i) => `${data.blocks[i]} ${data.first[i] ? `moves at step ${data.first[i]}` : "never moves"}`;
    if (resting !== undefined) say(box, false, `${data.blocks[resting]} does not move at the first step`);
    else if (missing) say(box, false, picked.size ? "these do, and something else does too" : "something moves at the first step");
    else say(box, true, data.first.map((_, i) => when(i)).join("; "));
  },
  scale: (box, data) => {
    const typed = box.querySelector(".typed").value;
    if (!typed.trim()) { please(box, "Type a factor first, such as 2 or sqrt(3)."); return; }
    if (served) { ask(box, typed); return; }
    try {
      const text = spelled(typed), found = compared(factorIn(text, data), data), hint = rounded(text);
      if (found.right) { agree(box, `with what the prover accepted, at ${found.count} sizes drawn by chance${found.exact ? "" : ", to 250 digits"}; a proof for all sizes takes the prover`); return; }
      const sizes = data.names.map((name) => `${name} = ${found.sizes[name] < 1e15 ? found.sizes[name] : Number(found.sizes[name]).toPrecision(3)}`);
      const told = `at ${sizes.join(", ")} your factor of ${data.block.join(", ")} is ${shownNumber(found.value)}, and none that the prover accepted`;
      say(box, false, `${hint ? `${hint}; ` : ""}${told}`, element("p", "What a wrong factor does, on numbers:"), said(box, 0));
    } catch (error) { please(box, `This cannot be used: ${error.message}.`); }
  },
  numbers: (box, data) => {
    const inputs = [...box.querySelectorAll(".entries input")], values = inputs.map((input) => numberIn(input.value));
    const bad = inputs.find((input, i) => !(Math.abs(values[i]) <= data.largest));
    if (bad) { please(box, `${bad.ariaLabel}: a number is expected from ${-data.largest} to ${data.largest}, such as 1, -2 or 1/2.`); bad.focus(); return; }
    const grown = data.slopes.reduce((table, slope, i) => added(table, slope, values[i]), data.grown);
    const [before, after] = [transformer(data.old, data.eps[0]), transformer(grown, data.eps[1])];
    const apart = Math.max(...before.flatMap((row, i) => row.map((x, j) => Math.abs(x - after[i][j]))));
    if (!(apart >= 0)) say(box, false, data.zeroRow);
    else if (apart > data.least) say(box, true, `the output ${written(before)} becomes ${written(after)}`);
    else say(box, false, `the outputs differ by only ${Number(apart.toPrecision(2))}, too little to tell it from rounding; try other or larger numbers for ${Object.keys(data.blocks).join(", ")}`);
  },
};

const deriving = (box, data) => {
  const list = box.querySelector(".steps"), path = [[0, ""]];
  const draw = () => {
    list.replaceChildren(...path.map(([state, rule]) => {
      const line = element("li");
      line.append(formula(box, state));
      if (rule) line.append(element("p", rule, "reason"));
      return line;
    }));
    box.querySelector(".undo").disabled = path.length === 1;
  };
  for (const button of box.querySelectorAll(".rules-to-use button")) {
    button.addEventListener("click", () => {
      if (button.classList.contains("undo")) { path.pop(); draw(); if (button.disabled) box.querySelector(".rules-to-use button").focus(); please(box, `One step back; ${path.length - 1} are left.`); return; }
      const i = Number(button.value), state = path.at(-1)[0], row = data.next[state];
      if (state === data.end) { say(box, true, "the goal is reached already"); return; }
      if (!row) { please(box, "This page goes no further on this way; take a step back, or use the notebook."); return; }
      if (row[i] === null) { say(box, false, `“${data.rules[i]}” applies nowhere in the last line`); return; }
      path.push([row[i], data.rules[i]]);
      draw();
      if (row[i] === data.end) say(box, true, `the kernel accepts these ${path.length - 1} steps; both sides have met`);
      else please(box, `Step ${path.length - 1}: ${data.rules[i]}.`);
    });
  }
  draw();
};

for (const box of document.querySelectorAll(".exercise")) {
  const data = JSON.parse(box.querySelector('script[type="application/json"]').textContent);
  box.querySelector(".work").hidden = false;
  const room = box.querySelector(".own-answer");
  if (served && room) room.hidden = false;
  if (served && ["fill", "repair", "scale", "design"].includes(box.dataset.kind)) box.querySelector(".how").textContent = "This page is served by growproof: answers of your own go to the prover.";
  if (box.dataset.kind === "order") { deriving(box, data); continue; }
  const check = () => CHECKS[box.dataset.kind](box, data);
  box.querySelector(".check").addEventListener("click", check);
  box.addEventListener("keydown", (event) => {
    const asks = event.target.matches("input") || (event.target.matches("textarea") && (event.ctrlKey || event.metaKey));
    if (event.key === "Enter" && asks) { event.preventDefault(); check(); }
  });
  const none = box.querySelector(".none");
  if (none) box.addEventListener("change", (event) => {  // none of them, or some
    if (event.target === none) box.querySelectorAll("fieldset input:not(.none)").forEach((input) => { input.checked = false; });
    else none.checked = false;
  });
  const own = box.querySelector(".own"), radios = box.querySelectorAll('input[type="radio"]');
  if (own) box.addEventListener("input", (event) => {  // one answer at a time
    if (event.target === own) radios.forEach((radio) => { radio.checked = false; });
    else own.value = "";
  });
}
