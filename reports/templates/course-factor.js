// A factor that is typed, compared with one that the prover accepted: by numbers, at sizes that nobody can foresee.
// ---------------------------------------------------------------- numbers

// A number is a fraction n/d: exact, or, after a root that is none, true to DIGITS digits.
const DIGITS = 300n, ENOUGH = 10n ** 250n, HUGE = 1n << 100000n, KEPT = 1200, LONGEST_NUMBER = 100;
const wrong = (what) => { throw new Error(what); };
const size = (x) => x < 0n ? -x : x;
const bits = (x) => x.toString(16).length * 4;
const fraction = (n, d, exact = true) => {
  if (d === 0n) wrong("it divides by 0");
  if (size(n) > HUGE || size(d) > HUGE) wrong("its numbers grow too large for this page");
  const spare = exact || n === 0n ? 0 : Math.min(bits(size(n)), bits(size(d))) - KEPT;
  if (spare > 0) { n >>= BigInt(spare); d >>= BigInt(spare); }
  return d < 0n ? { n: -n, d: -d, exact } : { n, d, exact };
};
const whole = (n) => fraction(BigInt(n), 1n);
const plus = (x, y) => fraction(x.n * y.d + y.n * x.d, x.d * y.d, x.exact && y.exact);
const minus = (x) => ({ ...x, n: -x.n });
const times = (x, y) => fraction(x.n * y.n, x.d * y.d, x.exact && y.exact);
const over = (x, y) => fraction(x.n * y.d, x.d * y.n, x.exact && y.exact);
const same = (x, y) => {
  const apart = size(x.n * y.d - y.n * x.d);
  return x.exact && y.exact ? apart === 0n : apart * ENOUGH <= size(y.n * x.d);
};
const wholeRoot = (m, degree) => {
  if (m < 2n) return m;
  let guess = 1n << BigInt(Math.ceil(bits(m) / Number(degree)) + 1);
  for (;;) {
    const next = ((degree - 1n) * guess + m / guess ** (degree - 1n)) / degree;
    if (next >= guess) return guess;
    guess = next;
  }
};
const root = (x, degree = 2n) => {
  if (x.n < 0n) wrong("it has the root of a negative number");
  const power = x.n * x.d ** (degree - 1n), found = wholeRoot(power, degree);
  if (found ** degree === power) return fraction(found, x.d, x.exact);
  const unit = 10n ** DIGITS;
  return fraction(wholeRoot(power * unit ** degree, degree), x.d * unit, false);
};
const divisor = (a, b) => b === 0n ? size(a) : divisor(b, a % b);
const raised = (base, exponent) => {
  const shared = divisor(exponent.n, exponent.d), above = exponent.n / shared, degree = exponent.d / shared;
  if (!exponent.exact || degree > 12n || size(above) > 64n) wrong("an exponent is a number such as 2 or 1/2");
  const part = degree === 1n ? base : root(base, degree), count = size(above);
  const found = fraction(part.n ** count, part.d ** count, part.exact);
  return above < 0n ? over(whole(1), found) : found;
};
const decimal = (text) => {
  const [above, part = ""] = text.split(".");
  return fraction(BigInt(above + part), 10n ** BigInt(part.length));
};
const shownNumber = (x) => {
  const digits = x.n * 10n ** 20n / x.d, long = String(size(digits)).length;
  return long > 300 ? `about 10^${long - 21}` : String(Number((Number(digits) / 1e20).toPrecision(6)));
};

// ---------------------------------------------------------------- expressions

const SPELLINGS = JSON.parse(document.getElementById("spellings").textContent);
const LONGEST = 1000, SINGLE = /[¼½¾⅐-⅞]/g;
const plainSigns = (text) => Object.entries(SPELLINGS.signs).reduce((found, [sign, meaning]) => found.replaceAll(sign, meaning), text);
const spelled = (text) => {
  if (text.length > LONGEST) wrong(`the answer is too long: at most ${LONGEST} characters`);
  if (/[\w)\]'](?<!sqrt)\s*[¼½¾⅐-⅞]/.test(text)) wrong("a fraction stands right behind something; write + or * between them");
  let found = plainSigns(text.trim().replace(SINGLE, (one) => `(${one.normalize("NFKC")})`));
  for (let round = 0, before = ""; before !== found && round < SPELLINGS.rounds; round += 1) {
    before = found;
    for (const [pattern, meaning] of SPELLINGS.patterns) found = found.replace(new RegExp(pattern, "g"), meaning);
  }
  return found.trim();
};

const evaluated = (text, sizes) => {
  const tokens = text.match(/[A-Za-z_]\w*|\d+(?:\.\d+)?|[-+*/^()]|\S/g) || [];
  let at = 0;
  const take = (token) => tokens[at] === token && ++at;
  const sum = () => {
    let value = product();
    for (;;) {
      if (take("+")) value = plus(value, product());
      else if (take("-")) value = plus(value, minus(product()));
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
  const signed = () => take("-") ? minus(signed()) : power();
  const power = () => { const base = atom(); return take("^") ? raised(base, signed()) : base; };
  const inBrackets = () => { const value = sum(); if (!take(")")) wrong("a bracket is not closed"); return value; };
  const atom = () => {
    const token = tokens[at++];
    if (token === "(") return inBrackets();
    if (token === "sqrt") { if (!take("(")) wrong("write sqrt( ... )"); return root(inBrackets()); }
    if (token === undefined) wrong("something is missing at the end");
    if (token.length > LONGEST_NUMBER) wrong(`a number is too long: at most ${LONGEST_NUMBER} characters`);
    if (/^\d/.test(token)) return decimal(token);
    if (Object.hasOwn(sizes, token)) return whole(sizes[token]);
    return wrong(`${token} is not known here; use ${Object.keys(sizes).join(", ")}, numbers, + - * / ^ and sqrt( )`);
  };
  const value = sum();
  if (at < tokens.length) wrong(`${tokens[at]} is not expected here`);
  return value;
};

// The factor in an answer that gives the whole line of the parameter, or says which hole it is for.
const factorIn = (text, data) => {
  const hole = `?${data.hole}`, literal = (part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const own = text.replace(new RegExp(`^\\??${data.hole}=`), "");
  for (const frame of data.frames) {
    const [start, ...rest] = frame.split(hole).map(literal);
    const found = own.match(new RegExp(`^${start}(.+)${rest.join("\\1")}$`));
    if (found) return `(${found[1]})`;
    if (own.startsWith(frame.slice(0, frame.indexOf("=") + 1))) wrong(`the line differs from that of the question; write what stands for ${hole} alone`);
  }
  return own;
};

// ---------------------------------------------------------------- sizes

const upTo = (most) => 1 + Math.floor(Math.random() * most);
const ofEvery = (most, power) => ({ old: () => BigInt(upTo(most)) ** power, grown: (before) => (BigInt(Math.round(Number(before) ** (1 / Number(power)))) + BigInt(upTo(most))) ** power });
// Small sizes, large ones, and powers of large ones, whose roots are whole: with these the comparison is exact.
const KINDS_OF_SIZES = [[{ old: () => 1n, grown: () => 4n }, 1], [ofEvery(12, 1n), 6], [ofEvery(1e9, 1n), 6], [ofEvery(1e4, 12n), 6]];

// Sizes that the variant allows: a grown one is what it says, and larger than what it grew from.
const drawn = (data, kind) => {
  const sizes = Object.fromEntries(data.sizes.map((name) => [name, kind.old()]));
  for (const [name, growth] of Object.entries(data.grows)) {
    const before = sizes[name.replace(/_hat$/, "")], value = growth === name ? whole(kind.grown(before)) : evaluated(growth, sizes);
    if (value.n % value.d || value.n <= before * value.d) return null;
    sizes[name] = value.n / value.d;
  }
  return sizes;
};
const points = (data) => KINDS_OF_SIZES.flatMap(([kind, count]) => Array.from({ length: count }, () => drawn(data, kind)).filter(Boolean));

// The first sizes at which a factor is none of those that the prover accepted; null where there are none.
const compared = (text, data) => {
  const tried = points(data), found = tried.map((sizes) => evaluated(text, sizes));
  const agrees = data.right.map((right) => tried.map((sizes, i) => same(found[i], evaluated(right, sizes))));
  const exact = found.every((value, i) => value.exact || i < tried.length - KINDS_OF_SIZES.at(-1)[1]);
  if (agrees.some((row) => row.every(Boolean))) return { right: true, count: tried.length, exact };
  const i = Math.max(tried.findIndex((_, i) => !agrees.some((row) => row[i])), 0);
  return { right: false, sizes: tried[i], value: found[i] };
};
