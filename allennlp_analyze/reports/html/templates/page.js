// The page: figures of the model, the table's sorting and filters, and the layers that it opens.
(() => {
  const {make, nothing, layerTable} = parts;
  const data = JSON.parse(document.getElementById("data").textContent);
  const layers = data.layers;
  const KIND_STYLES = {linear: "blue", embedding: "orange", recurrent: "green", attention: "red", bilinear: "purple", convolution: "sky", other: "grey"};
  const several = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
  const short = value => value === null ? "–" : value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5) ? value.toExponential(2) : String(Number(value.toPrecision(3)));

  // A width that fits beside another figure, or on a phone.
  const WIDE = Math.max(280, Math.min(520, innerWidth - 64)), NARROW = Math.max(260, Math.min(390, innerWidth - 96));

  // ---- figures of the model
  function histogram(values, low, high, count, log) {
    const at = i => log ? low * (high / low) ** (i / count) : low + (high - low) * i / count;
    const edges = Array.from({length: count + 1}, (_, i) => at(i));
    const counts = new Array(count).fill(0);
    for (const value of values) {
      const share = log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
      counts[Math.min(count - 1, Math.max(0, Math.floor(share * count)))]++;
    }
    return {edges, counts};
  }

  function stacked(groups, low, high, count, log) {
    const base = new Array(count).fill(0), marks = [];
    for (const [label, style, values] of groups) {
      if (!values.length) continue;
      const {edges, counts} = histogram(values, low, high, count, log);
      marks.push({type: "bars", edges, values: counts, base: [...base], style, label: `${label} (${values.length})`});
      counts.forEach((n, i) => { base[i] += n; });
    }
    return {marks, most: Math.max(...base)};
  }

  function smallestFigure() {
    const title = `Smallest singular value of each layer with Q > ${data.min_q}`;
    const found = layers.filter(layer => layer.Q > data.min_q);
    const positive = found.filter(layer => layer.sigma_min > 0);
    if (!positive.length) return nothing(title, found.length ? "All of them are exactly 0." : "No layer has such a Q.");
    const values = positive.map(layer => layer.sigma_min);
    let low = Math.min(...values), high = Math.max(...values);
    const log = high > 50 * low;
    [low, high] = log ? [low / 1.2, high * 1.2] : [0, high * 1.05];
    const count = Math.min(40, Math.max(12, Math.round(2 * Math.sqrt(values.length))));
    const groups = data.verdicts.map(([verdict, words, style]) => [words, style, positive.filter(l => l.verdict === verdict).map(l => l.sigma_min)]);
    const {marks, most} = stacked(groups, low, high, count, log);
    const zeros = found.length - positive.length;
    return chart({
      title, marks, width: WIDE,
      alt: `Histogram of ${several(values.length, "layer")}, from ${short(Math.min(...values))} to ${short(Math.max(...values))}.`,
      x: {label: "smallest singular value σ_min", min: low, max: high, log},
      y: {label: "layers", min: 0, max: most * 1.1, whole: true},
      note: zeros ? `${several(zeros, "layer")} with exactly 0 not drawn.` : "",
    });
  }

  function alphaFigure() {
    const title = "Power-law exponent α of each layer";
    const alphas = layers.map(layer => layer.alpha).filter(alpha => alpha !== null);
    if (!alphas.length) return nothing(title, "No layer has a power law.");
    const end = Math.min(14, Math.max(8, Math.ceil(Math.max(...alphas))));
    const beyond = alphas.filter(alpha => alpha > end).length;
    const within = alphas.filter(alpha => alpha <= end);
    const {edges, counts} = histogram(within, 0, end, end * 2, false);
    return chart({
      title, width: WIDE,
      alt: `Histogram of ${several(alphas.length, "layer")}, from ${short(Math.min(...alphas))} to ${short(Math.max(...alphas))}; ${alphas.filter(a => a >= 2 && a <= 6).length} between 2 and 6.`,
      x: {label: "α", min: 0, max: end}, y: {label: "layers", min: 0, max: Math.max(1, ...counts) * 1.1, whole: true},
      marks: [
        {type: "bars", edges, values: counts, style: "blue", label: several(within.length, "layer")},
        {type: "vline", at: 2, style: "red dash", label: "α = 2"}, {type: "vline", at: 6, style: "grey dot", label: "α = 6"},
      ],
      note: beyond ? `${several(beyond, "layer")} beyond, up to ${short(Math.max(...alphas))}.` : "",
    });
  }

  function ratioFigure() {
    const title = "Aspect ratio Q against α";
    const fitted = layers.map((layer, index) => ({...layer, index})).filter(layer => layer.alpha !== null);
    if (!fitted.length) return nothing(title, "No layer has a power law.");
    const ratios = fitted.map(layer => layer.Q), alphas = fitted.map(layer => layer.alpha);
    const highQ = Math.max(...ratios), highA = Math.max(...alphas);
    const logQ = highQ > 10, logA = highA > 14;
    const marks = Object.entries(KIND_STYLES).map(([kind, style]) => {
      const of = fitted.filter(layer => layer.kind === kind);
      return {type: "points", style, label: of.length ? `${kind} (${of.length})` : "", x: of.map(l => l.Q), y: of.map(l => l.alpha),
        names: of.map(l => `${l.name}: Q = ${short(l.Q)}, α = ${short(l.alpha)}`), open: i => show(of[i].index)};
    });
    marks.push({type: "hline", at: 2, style: "red dash", label: "α = 2"}, {type: "hline", at: 6, style: "grey dot", label: "α = 6"},
      {type: "vline", at: data.min_q, style: "green dashdot", label: `Q = ${data.min_q}`});
    return chart({
      title, marks, width: WIDE,
      alt: `Scatter plot of ${several(fitted.length, "layer")}; Q from ${short(Math.min(...ratios))} to ${short(highQ)}, α from ${short(Math.min(...alphas))} to ${short(highA)}.`,
      x: {label: "Q = N / M", min: logQ ? 0.9 : 0.8, max: logQ ? highQ * 1.3 : highQ + 0.3, log: logQ},
      y: {label: "α", min: logA ? Math.min(1.5, ...alphas) / 1.1 : 0, max: logA ? highA * 1.3 : Math.max(7, highA * 1.1), log: logA},
    });
  }

  function lossFigure() {
    const title = "Rank loss: directions lost, by the rule of the verdict";
    const losing = layers.map((layer, index) => ({...layer, index})).filter(layer => layer.loss > 0).sort((a, b) => b.loss - a.loss);
    if (!losing.length) return nothing(title, `None of ${several(layers.length, "layer")} loses rank.`);
    const figure = nothing(title, "");
    const list = make("ul", "bars", figure);
    for (const layer of losing.slice(0, 15)) {
      const item = make("li", "", list);
      const link = make("a", "", item, layer.name);
      link.href = `#layer-${layer.index}`;
      item.append(` ${short(layer.loss)}% of ${layer.M}`);
      make("span", "bar", item).style.width = `${layer.loss}%`;
    }
    const others = losing.length - 15, none = layers.length - losing.length;
    make("p", "note", figure, [others > 0 ? `${others} more lose less.` : "", `${several(none, "layer")} without loss.`].join(" "));
    return figure;
  }

  // ---- figures of one layer
  function spectrumMarks(layer, histogram) {
    const marks = [{type: "steps", edges: histogram.edges, values: histogram.density, style: "blue", label: several(layer.M, "eigenvalue")}];
    if (layer.bulk) {
      marks.push({type: "line", x: layer.bulk.x, y: layer.bulk.y, style: "green", label: `Marchenko-Pastur bulk, σ = ${short(layer.bulk.sigma)}`});
      for (const [i, edge] of layer.bulk.edges.entries())
        marks.push({type: "vline", at: edge, style: "green dot", label: i ? "" : `edges λ₋ = ${short(layer.bulk.edges[0])}, λ₊ = ${short(layer.bulk.edges[1])}`});
    }
    if (layer.law) marks.push(
      {type: "line", x: layer.law.x, y: layer.law.y, style: "red dash", label: `power law, α = ${short(layer.law.alpha)}, D = ${short(layer.law.D)}`},
      {type: "vline", at: layer.law.xmin, style: "orange dashdot", label: `xmin = ${short(layer.law.xmin)}`});
    return marks;
  }

  function esdFigure(layer, view, title) {
    const marks = spectrumMarks(layer, view).filter(mark => mark.at === undefined || !view.x.log || mark.at > 0);
    return chart({
      title, marks, width: NARROW, note: view.note, x: {label: "eigenvalue λ of WᵀW", ...view.x}, y: {label: "density ρ(λ)", ...view.y},
      alt: `Density of ${several(layer.M, "eigenvalue")}; ${marks.slice(1).map(mark => mark.label).filter(Boolean).join(", ")}.`,
    });
  }

  function valuesFigure(layer) {
    const {value} = layer.values, index = layer.values.index.map(i => i + 1);
    const marks = [{type: "line", x: index, y: value, style: "blue", label: "singular values"}];
    if (value.length <= 60) marks.push({type: "points", x: index, y: value, style: "blue", size: 3});
    for (const [name, at, style] of layer.limits) marks.push({type: "hline", at, style, label: `${name} ${short(at)}`});
    return chart({
      title: "Singular values", marks, width: NARROW,
      alt: `From ${short(layer.sigma_max)} down to ${short(layer.sigma_min)}; lines at ${layer.limits.map(([name, at]) => `${name} ${short(at)}`).join(", ")}.`,
      x: {label: "index i", min: layer.M > 1 ? 1 : 0, max: Math.max(2, layer.M), whole: true}, y: {label: "singular value σᵢ", log: true, ...layer.values.y},
      note: layer.values.note,
      hover: {x: index, text: i => `σ at i = ${index[i]}: ${short(layer.values.exact[i])}`, rest: ""},
    });
  }

  function detail(layer) {
    const row = make("tr", "detail");
    const cell = make("td", "", row);
    cell.colSpan = rows[0].cells.length;
    for (const warning of layer.warnings) make("p", "", cell, `Warning: ${warning}`);
    const figures = make("div", "figures", cell);
    if (layer.loglog) figures.append(esdFigure(layer, layer.loglog, "Spectral density, log-log"));
    figures.append(layer.linear ? esdFigure(layer, layer.linear, "Spectral density, linear") : nothing("Spectral density", `Not drawn: ${layer.nothing[0]}.`));
    figures.append(layer.values ? valuesFigure(layer) : nothing("Singular values", `Not drawn: ${layer.nothing[1]}.`));
    const list = make("dl", "facts", cell);
    for (const [i, label] of data.facts.entries()) {
      const item = make("div", "", list);
      make("dt", "", item, label);
      make("dd", "", item, layer.facts[i]);
    }
    return row;
  }

  // ---- the table
  const layerOf = row => layers[Number(row.dataset.index)];
  const table = layerTable(document.getElementById("layers"), row => row.dataset.group ? data.groups[row.dataset.group].sort : layerOf(row).sort,
    row => detail(layerOf(row)));
  const rows = table.rows;

  function show(index) {
    const row = rows[index];
    table.reveal(row);
    if (row.hidden) { document.getElementById("filters").reset(); filter(); }
    table.toggle(row, true);
    row.scrollIntoView({block: "start"});
    row.querySelector("button.open").focus({preventScroll: true});
  }

  function filter() {
    const [name, kind, verdict] = ["name", "kind", "verdict"].map(of => document.getElementById(`filter-${of}`).value);
    const part = name.toLowerCase();
    const matches = row => {
      const layer = layerOf(row), names = [layer.name, ...(row.dataset.member ? [data.groups[row.dataset.member].name] : [])];
      return names.some(of => of.toLowerCase().includes(part)) && (!kind || layer.kind === kind) && (!verdict || layer.verdict === verdict);
    };
    table.filter(matches, Boolean(name || kind || verdict));
    const count = rows.filter(matches).length;
    document.getElementById("count").textContent = count === rows.length ? several(count, "layer") : `${count} of ${several(rows.length, "layer")}`;
  }

  document.getElementById("figures").append(smallestFigure(), alphaFigure(), ratioFigure(), lossFigure());
  const form = document.getElementById("filters");
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", event => event.preventDefault());
  filter();
  const follow = () => {
    const found = /^#layer-(\d+)$/.exec(location.hash);
    if (found && rows[Number(found[1])]) show(Number(found[1]));
  };
  addEventListener("hashchange", follow);
  // A second click on the same link does not change the hash.
  document.addEventListener("click", event => { if (event.target.closest("a[href^='#layer-']")) setTimeout(follow); });
  follow();
})();
