// A lesson: steps revealed one by one, and exercises.  What is said of an answer was decided by the prover when the
// page was written; a factor is compared by numbers, a model is run, and where the page is served the prover is asked.
"use strict";

const served = location.protocol.startsWith("http");
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
    next.disabled = all.disabled = shown === lines.length;
    again.disabled = shown === 1;
    const rule = lines[shown - 1].querySelector(".reason");
    place.textContent = said ? `Step ${shown - 1} of ${lines.length - 1}${rule ? `: ${rule.textContent}` : ""}` : lines.length === 2 ? "1 step" : `${lines.length - 1} steps`;
  };
  const further = (count) => { show(count, true); if (next.disabled) again.focus(); };  // a disabled button loses the focus
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
const chosen = (box) => [...box.querySelectorAll("fieldset input:checked")].map((input) => Number(input.value));

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

// ---------------------------------------------------------------- a factor

// A number is a whole one over UNIT: with so many digits that what is equal to all of them is equal.
const DIGITS = 300n, UNIT = 10n ** DIGITS, CLOSE = 10n ** 110n, LONGEST_NUMBER = 100;
const wrong = (what) => { throw new Error(what); };
const size = (x) => x < 0n ? -x : x;
const times = (x, y) => x * y / UNIT;
const over = (x, y) => y === 0n ? wrong("it divides by 0") : x * UNIT / y;
const root = (x) => {
  if (x < 0n) wrong("it has the root of a negative number");
  const square = x * UNIT;
  let guess = BigInt("1" + "0".repeat(Math.ceil(String(square).length / 2)));
  for (;;) {
    const next = (guess + square / guess) / 2n;
    if (next >= guess) return guess;
    guess = next;
  }
};
const raised = (base, exponent) => {
  let halves = 0;
  while (exponent % UNIT && halves < 6) { exponent *= 2n; base = root(base); halves += 1; }
  if (exponent % UNIT || size(exponent / UNIT) > 64n) wrong("an exponent is a number such as 2 or 1/2");
  let found = UNIT;
  for (let i = size(exponent / UNIT); i > 0n; i -= 1n) found = times(found, base);
  return exponent < 0n ? over(UNIT, found) : found;
};
const exact = (text) => {
  const [whole, part = ""] = text.split(".");
  return BigInt(whole + part) * UNIT / 10n ** BigInt(part.length);
};
const equal = (x, y) => size(x - y) * CLOSE <= size(y);

// The short fraction that a decimal rounds, and is not.
const rounded = (text) => {
  for (const [decimal, above, part] of text.matchAll(/(\d+)\.(\d\d+)/g)) {
    const unit = 10n ** BigInt(part.length), whole = BigInt(above + part), most = Math.floor(10 ** (Math.min(part.length, 9) / 3) + 1e-9);
    for (let q = 1n; q <= most; q += 1n) {
      const p = (2n * whole * q + unit) / (2n * unit), apart = size(p * unit - whole * q);
      if (apart > 0n && apart < q) return `${decimal.length > 20 ? `${decimal.slice(0, 19)}…` : decimal} is rounded, write ${p}${q > 1n ? `/${q}` : ""}`;
    }
  }
  return "";
};

const evaluated = (text, sizes) => {
  const tokens = text.match(/[A-Za-z_]\w*|\d+(?:\.\d+)?|[-+*/^()]|\S/g) || [];
  let at = 0;
  const take = (token) => tokens[at] === token && ++at;
  const sum = () => {
    let value = product();
    for (;;) {
      if (take("+")) value += product();
      else if (take("-")) value -= product();
      else return value;
    }
  };
  const product = () => {
    let value = signed();
    for (;;) {
      if (take("*")) value = times(value, signed());
      else if (take("/")) value = over(value, signed());
      else return value;
    }
  };
  const signed = () => take("-") ? -signed() : power();
  const power = () => { const base = atom(); return take("^") ? raised(base, signed()) : base; };
  const atom = () => {
    const token = tokens[at++];
    if (token === "(") { const value = sum(); if (!take(")")) wrong("a bracket is not closed"); return value; }
    if (token === "sqrt") { if (!take("(")) wrong("write sqrt( ... )"); const value = sum(); if (!take(")")) wrong("a bracket is not closed"); return root(value); }
    if (token === undefined) wrong("something is missing at the end");
    if (token.length > LONGEST_NUMBER) wrong(`a number is too long: at most ${LONGEST_NUMBER} characters`);
    if (/^\d/.test(token)) return exact(token);
    if (Object.hasOwn(sizes, token)) return BigInt(sizes[token]) * UNIT;
    return wrong(`${token} is not known here; use ${Object.keys(sizes).join(", ") || "numbers"}, + - * / ^ and sqrt( )`);
  };
  const value = sum();
  if (at < tokens.length) wrong(`${tokens[at]} is not expected here`);
  return value;
};
const SPELLINGS = {"**": "^", "√": "sqrt", "×": "*", "·": "*", "⋅": "*", "−": "-", "ᵀ": "'", "’": "'", "²": "^2"};
const LONGEST = 1000;
const spelled = (text) => {
  if (text.length > LONGEST) wrong(`the answer is too long: at most ${LONGEST} characters`);
  const found = Object.entries(SPELLINGS).reduce((found, [sign, meaning]) => found.replaceAll(sign, meaning), text);
  if (/[\w)\]'](?<!sqrt)\s*[¼½¾⅐-⅞]/.test(found)) wrong("a fraction stands right behind something; write + or * between them");
  const whole = found.replace(/[¼½¾⅐-⅞]/g, (one) => `(${one.normalize("NFKC").replace("⁄", "/")})`);
  return whole.replace(/sqrt\s*(\w+)/g, "sqrt($1)");
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
const plus = (table, slope, factor) => {
  if (typeof table === "number") return table + factor * slope;
  if (Array.isArray(table)) return table.map((entry, i) => plus(entry, slope[i], factor));
  return Object.fromEntries(Object.entries(table).map(([name, entry]) => [name, plus(entry, slope[name], factor)]));
};
const written = (matrix) => `[${matrix.map((row) => row.map((x) => String(Number(x.toPrecision(4)))).join(", ")).join("; ")}]`;
const numberIn = (text) => {
  const found = text.trim().replaceAll("−", "-").match(/^([+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,2})?)(?:\s*\/\s*(\d{1,40}))?$/);
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
    const picked = new Set(chosen(box));
    const when = (i) => `${data.blocks[i]} ${data.first[i] ? `moves at step ${data.first[i]}` : "never moves"}`;
    const wrong = data.first.map((step, i) => i).filter((i) => picked.has(i) !== (data.first[i] === 1));
    say(box, !wrong.length, (wrong.length ? wrong : data.first.map((_, i) => i)).map(when).join("; "));
  },
  scale: (box, data) => {
    const typed = box.querySelector(".typed").value.replace(new RegExp(`^\\s*\\??${data.hole}\\s*=`), "");
    if (!typed.trim()) { please(box, "Type a factor first, such as 2 or sqrt(3)."); return; }
    if (served) { ask(box, typed); return; }
    try {
      const text = spelled(typed), found = data.points.map((point) => evaluated(text, point.sizes));
      const wanted = data.points.map((point) => point.values.map((value) => value.startsWith("-") ? -exact(value.slice(1)) : exact(value)));
      const right = wanted[0].some((_, k) => wanted.every((values, i) => equal(found[i], values[k])));
      if (right) { say(box, true, "equal at every size to what the solver found and the prover accepted"); return; }
      const i = Math.max(wanted.findIndex((values, n) => !values.some((value) => equal(found[n], value))), 0);
      const at = Object.entries(data.points[i].sizes).map(([name, value]) => `${name} = ${value}`).join(", "), hint = rounded(text);
      const factor = Number((Number(found[i] / 10n ** (DIGITS - 20n)) / 1e20).toPrecision(6));
      const text_ = `${at ? `at ${at} ` : ""}your factor of ${data.block.join(", ")} is ${factor}, and the models differ`;
      say(box, false, `${hint ? `${hint}; ` : ""}${text_}`, element("p", "What a wrong factor does, on numbers:"), said(box, 0));
    } catch (error) { please(box, `This cannot be used: ${error.message}.`); }
  },
  numbers: (box, data) => {
    const inputs = [...box.querySelectorAll(".entries input")], values = inputs.map((input) => numberIn(input.value));
    const bad = inputs.find((input, i) => !(Math.abs(values[i]) <= 1000));
    if (bad) { please(box, `${bad.ariaLabel}: a number is expected, such as 1, -2 or 1/2.`); bad.focus(); return; }
    const grown = data.slopes.reduce((table, slope, i) => plus(table, slope, values[i]), data.grown);
    const [before, after] = [transformer(data.old, data.eps[0]), transformer(grown, data.eps[1])];
    const apart = Math.max(...before.flatMap((row, i) => row.map((x, j) => Math.abs(x - after[i][j]))));
    if (!(apart >= 0)) please(box, "A norm meets a row of zeros and divides 0 by 0: try other numbers.");
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
  if (served && box.querySelector(".free")) box.querySelector(".free").hidden = false;
  if (served && ["fill", "repair", "scale", "design"].includes(box.dataset.kind)) box.querySelector(".how").textContent = "This page is served by growproof: answers of your own go to the prover.";
  if (box.dataset.kind === "order") { deriving(box, data); continue; }
  const check = () => CHECKS[box.dataset.kind](box, data);
  box.querySelector(".check").addEventListener("click", check);
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("input")) { event.preventDefault(); check(); }
  });
  const own = box.querySelector(".own"), radios = box.querySelectorAll('input[type="radio"]');
  if (own) box.addEventListener("input", (event) => {  // one answer at a time
    if (event.target === own) radios.forEach((radio) => { radio.checked = false; });
    else own.value = "";
  });
}
