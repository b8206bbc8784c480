// The comparison: sorts each table of pairs, folds those that are the same, and opens a pair with both spectra in one
// figure.
(() => {
  const {make, nothing, layerTable} = parts;
  const data = JSON.parse(document.getElementById("data").textContent);
  const NARROW = Math.max(260, Math.min(430, innerWidth - 96));
  // A letter with the short name of its model.
  const named = letter => `${letter}: ${data.names[letter]}`;

  // One axis for both.
  const joined = (one, other) => ({...one, min: Math.min(one.min, other.min), max: Math.max(one.max, other.max)});
  const labels = (a, b, letter) => [`${named("A")} (${a.M})`, `${named(letter)} (${b.M})`];

  // Says why one of the two is missing in a figure, the densities (0) or the singular values (1).
  const notDrawn = (a, b, letter, which) => [["A", a], [letter, b]].filter(([, of]) => of.nothing[which])
    .map(([name, of]) => `${name} is not drawn: ${of.nothing[which]}.`).join(" ");

  function valuesFigure(a, b, letter) {
    const title = "Singular values";
    const known = [[a, "blue"], [b, "red dash"]].map(([of, style], i) => ({of, style, label: labels(a, b, letter)[i]}))
      .filter(one => one.of.values);
    if (!known.length) return nothing(title, `Not drawn: ${a.nothing[1]}.`);
    const marks = known.map(({of, style, label}) => ({type: "line", style, label, x: of.values.index.map(i => i + 1), y: of.values.value}));
    for (const {of, style} of known)
      if (of.values.value.length <= 60) marks.push({type: "points", style, size: 3, x: of.values.index.map(i => i + 1), y: of.values.value});
    const y = known.map(one => one.of.values.y).reduce(joined);
    return chart({
      title, marks, width: NARROW,
      alt: known.map(({of, label}) => `${label}, from ${of.values.exact[0]} down to ${of.values.exact[of.values.exact.length - 1]}`).join("; "),
      x: {label: "index i", min: 1, max: Math.max(2, a.M, b.M), whole: true}, y: {label: "singular value σᵢ", log: true, ...y},
      note: notDrawn(a, b, letter, 1),
    });
  }

  function densityFigure(a, b, letter) {
    const title = "Spectral density, log-log";
    const known = [[a, "blue"], [b, "red"]].map(([of, style], i) => ({of, style, label: labels(a, b, letter)[i]}))
      .filter(one => one.of.loglog);
    if (!known.length) return nothing(title, `Not drawn: ${a.nothing[0]}.`);
    return chart({
      title, width: NARROW, alt: known.map(one => `Density of ${one.label}`).join("; "),
      marks: known.map(({of, style, label}) => ({type: "steps", style, label, edges: of.loglog.edges, values: of.loglog.density})),
      x: {label: "eigenvalue λ of WᵀW", ...known.map(one => one.of.loglog.x).reduce(joined)},
      y: {label: "density ρ(λ)", ...known.map(one => one.of.loglog.y).reduce(joined)},
      note: [notDrawn(a, b, letter, 0), ...known.map(one => one.of.loglog.note && `${one.label}: ${one.of.loglog.note}`)].filter(Boolean).join(" "),
    });
  }

  function detail(pair, letter, columns) {
    const row = make("tr", "detail");
    const cell = make("td", "", row);
    cell.colSpan = columns;
    for (const note of pair.notes) make("p", "", cell, note);
    const figures = make("div", "figures", cell);
    const a = data.baseline[pair.baseline], b = pair.spectrum;
    figures.append(valuesFigure(a, b, letter), densityFigure(a, b, letter));
    const wide = make("div", "wide", cell);
    wide.setAttribute("role", "region");
    wide.setAttribute("aria-label", `Numbers in A and ${letter}`);
    wide.tabIndex = 0;
    const table = make("table", "", wide);
    const head = make("tr", "", make("thead", "", table));
    const both = innerWidth < 640 ? ["A", letter] : ["A", letter].map(named);
    make("td", "", head);
    const styles = ["number", "number", "number less", "number less"];
    for (const [i, text] of [...both, `${letter} − A`, `${letter} / A`].entries()) make("th", styles[i], head, text).scope = "col";
    const body = make("tbody", "", table);
    for (const [label, ...values] of pair.measures) {
      const line = make("tr", "", body);
      make("th", "", line, label).scope = "row";
      for (const [i, value] of values.entries()) make("td", styles[i], line, value);
    }
    return row;
  }

  for (const table of document.querySelectorAll("table.pairs")) {
    const {letter, pairs} = data.candidates[Number(table.dataset.candidate)];
    const pairOf = row => pairs[Number(row.dataset.index)];
    const columns = table.tHead.rows[0].cells.length;
    const none = Array(columns).fill(null);  // the row of folded pairs comes last
    const shown = layerTable(table, row => row.dataset.group ? none : pairOf(row).sort,
      row => detail(pairOf(row), letter, columns));
    shown.filter(() => true, false);
  }
})();
