// What a reader takes from the page: a table as CSV, a layer as JSON, a figure as SVG.
const saving = (() => {
  const {make} = parts;
  const SVG = "http://www.w3.org/2000/svg";
  const PAINT = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "font-size", "font-family"];
  const LINE = 18, LETTER = 7;  // the height of a line of text, and about the width of a letter

  function download(name, type, text) {
    const link = make("a", "", document.body);
    link.href = URL.createObjectURL(new Blob([text], {type}));
    link.download = name;
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // ---- records: the entries of report.json, each the number of its shape and its values
  function record(records, index) {
    const [shape, ...values] = records.rows[index];
    let next = 0;
    const filled = part => part === null ? values[next++] : Object.fromEntries(Object.entries(part).map(([key, of]) => [key, filled(of)]));
    return filled(records.shapes[shape]);
  }

  // As layers.csv has them: on one line, and never what a spreadsheet takes for a formula.
  function escaped(character) {
    const code = character.codePointAt(0), short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[character];
    const [letter, digits] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8];
    return short ?? `\\${letter}${code.toString(16).padStart(digits, "0")}`;
  }

  function cell(value) {
    if (value === null || value === undefined) return "";
    let text = String(value);
    if (typeof value === "string") {
      text = text.replace(/(?! )[\p{C}\p{Z}]/gu, escaped);
      if (/^[=+@\u2212-]/.test(text.trimStart().slice(0, 1).normalize("NFKC"))) text = `'${text}`;
    }
    return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  // `indices` are those of the layers, `groupOf(index)` the name of the group of experts that a layer belongs to.
  function csv(records, indices, groupOf) {
    const line = index => {
      const of = record(records, index);
      return records.csv.map(([, keys, place]) => {
        if (keys === null) return cell(groupOf(index));
        const value = keys.reduce((found, key) => found?.[key] ?? null, of);
        if (Array.isArray(value)) return cell(place === null ? value.join("; ") : value[place]);
        return cell(value);
      }).join(",");
    };
    return [records.csv.map(([name]) => cell(name)).join(","), ...indices.map(line), ""].join("\n");
  }

  // ---- the clipboard
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // not allowed everywhere
      const area = make("textarea", "unseen", document.body);
      area.value = text;
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }

  function copyButton(text) {
    const button = make("button", "tool", null, "Copy as JSON");
    button.type = "button";
    const said = make("span", "", null, "");
    said.setAttribute("role", "status");
    button.addEventListener("click", () => copy(text()).then(() => { said.textContent = " Copied."; }));
    return [button, said];
  }

  // ---- figures
  // Copies the looks of `from` and what is in it to `to`: a saved figure has no style sheet.
  function paint(from, to) {
    const style = getComputedStyle(from);
    for (const name of PAINT) to.setAttribute(name, style.getPropertyValue(name));
    for (const name of ["class", "role", "tabindex"]) to.removeAttribute(name);
    [...from.children].forEach((child, i) => paint(child, to.children[i]));
  }

  // The chart with its title and legend, in the colours for paper.
  function standalone(figure) {
    const chart = figure.querySelector("svg.chart"), {width, height} = chart.viewBox.baseVal;
    const whole = document.createElementNS(SVG, "svg");
    const put = (name, attributes, parent = whole) => {
      const node = document.createElementNS(SVG, name);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      parent.append(node);
      return node;
    };
    document.documentElement.classList.add("paper");
    const background = put("rect", {width: "100%", fill: "#ffffff"});
    const looks = getComputedStyle(chart.querySelector("text"));
    const write = (text, x, y, more) => {
      put("text", {x, y, fill: looks.fill, "font-family": looks.fontFamily, "font-size": "12px", ...more}).textContent = text;
    };
    write(figure.querySelector("figcaption").textContent, 12, LINE, {"font-weight": "bold"});
    const drawn = chart.cloneNode(true);
    paint(chart, drawn);
    for (const name of [...drawn.getAttributeNames()]) if (name.startsWith("aria-")) drawn.removeAttribute(name);
    for (const [name, value] of Object.entries({x: 0, y: LINE + 8, width, height})) drawn.setAttribute(name, value);
    whole.append(drawn);
    let x = 12, y = height + 2 * LINE + 14;
    for (const item of figure.querySelectorAll(".legend li")) {
      const text = item.textContent, room = 44 + LETTER * text.length, sample = item.querySelector("svg");
      if (x > 12 && x + room > width) [x, y] = [12, y + LINE];
      const mark = sample.cloneNode(true);
      paint(sample, mark);
      for (const [name, value] of Object.entries({x, y: y - 9, width: 26, height: 10})) mark.setAttribute(name, value);
      whole.append(mark);
      write(text, x + 32, y);
      x += room;
    }
    document.documentElement.classList.remove("paper");
    const end = y + LINE;
    background.setAttribute("height", end);
    for (const [name, value] of Object.entries({viewBox: `0 0 ${width} ${end}`, width, height: end})) whole.setAttribute(name, value);
    return new XMLSerializer().serializeToString(whole);
  }

  // Adds a button to a figure that saves it under `name`.
  function savable(figure, name) {
    const button = make("button", "tool", figure, "Save as SVG");
    button.type = "button";
    button.setAttribute("aria-label", `Save as SVG: ${figure.querySelector("figcaption").textContent}`);
    button.addEventListener("click", () => download(`${fileName(name)}.svg`, "image/svg+xml", standalone(figure)));
    return figure;
  }

  const fileName = text => text.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[-.]+|[-.]+$/g, "").slice(-100) || "figure";

  return {record, csv, download, copyButton, savable};
})();
