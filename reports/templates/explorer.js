// The explorer: reads the sets that were decided beforehand and looks up the start that the reader chooses.
for (const box of document.querySelectorAll(".explorer")) {
  const data = JSON.parse(box.querySelector("script").textContent);
  const switches = [...box.querySelectorAll("label")].map((label) => ({
    block: Number(label.dataset.block), input: label.querySelector("input"), name: label.querySelector("math"),
  }));
  const answer = box.querySelector(".answer"), steps = box.querySelector(".steps");
  const inside = (set, zeros) => set.every((i) => zeros.has(i));

  const names = (blocks) => {
    const list = document.createElement("span");
    switches.filter((s) => blocks.includes(s.block)).forEach((s, i) => {
      if (i) list.append(", ");
      list.append(s.name.cloneNode(true));
    });
    return list;
  };

  const preserved = (zeros) => {
    const reason = data.enough.find((set) => inside(set, zeros));
    if (reason) {
      answer.className = "answer good";
      answer.replaceChildren("✓ Preserved. ", ...(reason.length ? ["These zeros are enough: ", names(reason)] : ["No zero is needed."]));
      return;
    }
    const witness = data.notEnough.findIndex((set) => [...zeros].every((i) => set.includes(i)));
    answer.className = "answer bad";
    if (witness < 0) { answer.replaceChildren("? Not decided."); return; }
    const link = document.createElement("a");
    link.href = `#${box.dataset.id}-witness-${witness}`;
    link.textContent = "numbers that show it";
    link.onclick = () => { const d = document.querySelector(`${link.hash} details`); if (d) d.open = true; };
    answer.replaceChildren("✗ Not preserved: ", link, ".");
  };

  const learning = (zeros) => {
    const waiting = new Set(data.blocks.keys()), lines = [];
    for (let step = 1; waiting.size; step++) {
      const now = [...waiting].filter((b) => !data.still[b].some((set) => inside(set, zeros)));
      if (!now.length) { lines.push(["Never: ", [...waiting]]); break; }
      lines.push([`Gradient step ${step} moves `, now]);
      now.forEach((b) => { waiting.delete(b); zeros.delete(b); });
    }
    steps.replaceChildren(...lines.map(([text, blocks]) => {
      const item = document.createElement("li");
      item.append(text, names(blocks));
      return item;
    }));
  };

  const show = () => {
    const zeros = () => new Set(switches.filter((s) => s.input.checked).map((s) => s.block));
    preserved(zeros());
    learning(zeros());
  };
  switches.forEach((s) => { s.input.checked = data.given.includes(s.block); s.input.addEventListener("change", show); });
  show();
  box.hidden = false;
}
