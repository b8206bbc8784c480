// The page: figures of the model, the table's sorting and filters, and the layers that it opens.
(() => {
  const {make, layerTable} = parts;
  const {savable} = saving;
  const data = JSON.parse(document.getElementById("data").textContent);
  const layers = data.layers;
  // The figures count all layers of the report; of those that are not on the page, they have these numbers.
  const others = data.others.map(([kind, verdict, is_conclusive, Q, sigma_min, null_ratio, alpha]) => ({kind, verdict, is_conclusive, Q, sigma_min, null_ratio, alpha}));
  const every = [...layers, ...others];
  const KIND_STYLES = {linear: "blue", embedding: "orange", recurrent: "green", attention: "red", bilinear: "purple", convolution: "sky", other: "grey"};
  const several = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
  const short = value => value === null ? "–" : value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5) ? value.toExponential(2) : String(Number(value.toPrecision(3)));

  const least = values => values.reduce((one, other) => Math.min(one, other)), most = values => values.reduce((one, other) => Math.max(one, other));

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

  // A logarithmic axis down to here; what is below, or 0, is drawn at its foot.
  const FOOT = 1e-9;

  // The number by which the verdict judges, of every layer that has one.
  function nullFigure() {
    const found = every.filter(layer => layer.null_ratio !== null || layer.sigma_min === 0);
    if (!found.length) return null;
    const at = layer => Math.max(FOOT, layer.null_ratio ?? 0);
    const values = found.map(at), below = values.filter(value => value === FOOT).length;
    const low = Math.min(0.1, least(values)) / 1.5, high = Math.max(2, most(values)) * 1.5;
    const count = Math.min(40, Math.max(16, Math.round(2 * Math.sqrt(values.length))));
    const groups = data.verdicts.map(([verdict, words, style]) => [words, style, found.filter(layer => layer.verdict === verdict).map(at)]);
    const {marks, most: highest} = stacked(groups, low, high, count, true);
    return chart({
      title: "Smallest singular value of each layer, over that of random entries", marks, width: WIDE,
      alt: `Histogram of ${several(values.length, "layer")}, from ${short(least(values))} to ${short(most(values))}.`,
      x: {label: "σ_min over the null law's median", min: low, max: high, log: true},
      y: {label: "layers", min: 0, max: highest * 1.1, whole: true},
      note: below ? `${several(below, "layer")} below ${short(FOOT)}: drawn there.` : "",
    });
  }

  function alphaFigure() {
    const fitted = every.filter(layer => layer.alpha !== null);
    if (!fitted.length) return null;
    const alphas = fitted.map(layer => layer.alpha);
    const end = Math.min(14, Math.max(8, Math.ceil(most(alphas))));
    const beyond = alphas.filter(alpha => alpha > end).length;
    const within = fitted.filter(layer => layer.alpha <= end);
    const groups = [[true, "conclusive", "blue"], [false, "of few eigenvalues, or D above 0.1", "grey"]]
      .map(([is, label, style]) => [label, style, within.filter(layer => layer.is_conclusive === is).map(layer => layer.alpha)]);
    const {marks, most: highest} = stacked(groups, 0, end, end * 2, false);
    return chart({
      title: "Power-law exponent α of each layer", width: WIDE,
      alt: `Histogram of ${several(alphas.length, "layer")}, from ${short(least(alphas))} to ${short(most(alphas))}; ${alphas.filter(a => a >= 2 && a <= 6).length} between 2 and 6.`,
      x: {label: "α", min: 0, max: end}, y: {label: "layers", min: 0, max: Math.max(1, highest) * 1.1, whole: true},
      marks: [...marks, {type: "vline", at: 2, style: "red dash", label: "α = 2"}, {type: "vline", at: 6, style: "grey dot", label: "α = 6"}],
      note: beyond ? `${several(beyond, "layer")} beyond, up to ${short(most(alphas))}.` : "",
    });
  }

  // More dots than this are too many to hit one, and to draw all.
  const MOST_DOTS = 3000;

  function ratioFigure() {
    const fitted = every.map((layer, index) => ({layer, index})).filter(({layer}) => layer.alpha !== null);
    if (!fitted.length) return null;
    const ratios = fitted.map(({layer}) => layer.Q), alphas = fitted.map(({layer}) => layer.alpha);
    const highQ = most(ratios), highA = most(alphas);
    const logQ = highQ > 10, logA = highA > 14;
    const each = Math.ceil(fitted.length / MOST_DOTS), drawn = fitted.filter((_, i) => i % each === 0);
    const notes = [
      each > 1 ? `One layer in ${each} is drawn.` : "",
      new Set(ratios).size < ratios.length ? "Layers with the same Q and nearly the same α are drawn beside each other." : "",
    ];
    const marks = Object.entries(KIND_STYLES).flatMap(([kind, style]) => {
      const of = drawn.filter(({layer}) => layer.kind === kind), total = fitted.filter(({layer}) => layer.kind === kind).length;
      const mark = (some, label) => ({type: "points", style, label, x: some.map(({layer}) => layer.Q), y: some.map(({layer}) => layer.alpha)});
      const label = total ? `${kind} (${total})` : "";
      if (fitted.length > MOST_DOTS) return [{...mark(of, label), size: 3}];
      // A layer that is not on the page has no name here, and no row to open.
      const here = of.filter(({index}) => index < layers.length), others = of.filter(({index}) => index >= layers.length);
      const names = here.map(({layer}) => `${layer.name}: Q = ${short(layer.Q)}, α = ${short(layer.alpha)}`);
      return [{...mark(here, label), names, open: i => show(rows[here[i].index], true)}, mark(others, "")];
    });
    marks.push({type: "hline", at: 2, style: "red dash", label: "α = 2"}, {type: "hline", at: 6, style: "grey dot", label: "α = 6"},
      {type: "vline", at: data.min_q, style: "green dashdot", label: `Q = ${data.min_q}`});
    return chart({
      title: "Aspect ratio Q against α", marks, width: WIDE, spread: true,
      alt: `Scatter plot of ${several(fitted.length, "layer")}; Q from ${short(least(ratios))} to ${short(highQ)}, α from ${short(least(alphas))} to ${short(highA)}.`,
      x: {label: "Q = N / M", min: logQ ? 0.5 : 0.6, max: logQ ? highQ * 1.3 : highQ + 0.4, log: logQ},
      y: {label: "α", min: logA ? Math.min(1.5, least(alphas)) / 1.1 : 0, max: logA ? highA * 1.3 : Math.max(7, highA * 1.1), log: logA},
      note: notes.filter(Boolean).join(" "),
    });
  }

  // ---- figures of one layer
  // The edges of equal bins, or of bins that are equal in logarithms.
  function edgesOf({edges: [low, high, count], x}) {
    return Array.from({length: count + 1}, (_, i) => x.log ? low * (high / low) ** (i / count) : low + (high - low) * i / count);
  }

  function spectrumMarks(layer, histogram) {
    const marks = [{type: "steps", edges: edgesOf(histogram), values: histogram.density, style: "blue", label: several(layer.M, "eigenvalue")}];
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

  // The directions that are lost are always the last ones.
  function lostBand(layer) {
    if (!layer.lost) return [];
    const [count, label, style] = layer.lost;
    return [{type: "band", from: layer.M - count + 0.5, to: layer.M + 0.5, style, label}];
  }

  function valuesFigure(layer) {
    const {value, exact = value} = layer.values, index = layer.values.index.map(i => i + 1);
    const marks = [...lostBand(layer), {type: "line", x: index, y: value, style: "blue", label: "singular values"}];
    if (value.length <= 60) marks.push({type: "points", x: index, y: value, style: "blue", size: 3});
    for (const [name, at, style] of layer.limits) marks.push({type: "hline", at, style, label: `${name} ${short(at)}`});
    return chart({
      title: "Singular values", marks, width: NARROW,
      alt: `From ${short(layer.sigma_max)} down to ${short(layer.sigma_min)}; lines at ${layer.limits.map(([name, at]) => `${name} ${short(at)}`).join(", ")}.`,
      x: {label: "index i", min: layer.M > 1 ? 1 : 0, max: Math.max(2, layer.M), whole: true}, y: {label: "singular value σᵢ", log: true, ...layer.values.y},
      note: layer.values.note,
      hover: {x: index, text: i => `σ at i = ${index[i]}: ${short(exact[i])}`, rest: ""},
    });
  }

  function detail(layer, index) {
    const row = make("tr", "detail");
    const cell = make("td", "", row);
    cell.colSpan = rows[0].cells.length;
    make("span", `mark ${layer.verdict}`, make("p", "why", cell), layer.why);
    for (const warning of layer.warnings) make("p", "", cell, `Warning: ${warning}`);
    const drawn = [
      ["values", layer.values && valuesFigure(layer)],
      ["loglog", layer.loglog && esdFigure(layer, layer.loglog, "Spectral density, log-log")],
      ["linear", layer.linear && esdFigure(layer, layer.linear, "Spectral density, linear")],
    ].filter(([, figure]) => figure);
    for (const reason of new Set(layer.nothing)) if (reason) make("p", "where", cell, `Not drawn: ${reason}.`);
    if (drawn.length) make("div", "figures", cell).append(...drawn.map(([kind, figure]) => savable(figure, `${layer.name}-${kind}`)));
    make("p", "", cell).append(...saving.copyButton(() => JSON.stringify(saving.record(data.records, index), null, 2)));
    const list = make("dl", "facts", cell);
    for (const [i, label] of data.facts.entries()) {
      const item = make("div", "", list);
      make("dt", "", item, label);
      make("dd", "", item, layer.facts[i]);
    }
    return row;
  }

  // ---- the table, page by page
  const layerOf = row => layers[Number(row.dataset.index)];
  const [count, place, pages, previous, next] = ["count", "place", "pages", "previous", "next"].map(id => document.getElementById(id));
  const main = document.getElementById("layers");
  const table = layerTable(main, row => row.dataset.group ? data.groups[row.dataset.group].sort : layerOf(row).sort,
    row => detail(layerOf(row), Number(row.dataset.index)), {pageRows: data.page_rows, toggled: point, turned});
  const rows = table.rows;

  function turned(start, end, total) {
    pages.hidden = total <= data.page_rows;
    place.textContent = `${start + 1} to ${end} of ${total}`;
    // Not disabled, because that would take the focus from a reader who uses the keyboard.
    previous.setAttribute("aria-disabled", String(start === 0));
    next.setAttribute("aria-disabled", String(end === total));
  }

  for (const [button, by] of [[previous, -1], [next, 1]]) button.addEventListener("click", () => {
    table.turn(by);
    main.scrollIntoView({block: "start"});
  });

  // The address follows what is opened, so that it can be sent to others.
  function point(row, open) {
    if (!open && location.hash !== `#${row.id}`) return;
    try {
      history.replaceState(null, "", open ? `#${row.id}` : location.pathname + location.search);
    } catch {}  // not allowed in some frames
  }

  function show(row, isNew) {
    table.reveal(row);
    if (row.hidden) {
      form.reset();
      filter();
      table.reveal(row);
    }
    if (!row.dataset.group) table.toggle(row, true);
    if (isNew) point(row, true);
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
    const found = rows.filter(matches).length;
    count.textContent = found === every.length ? several(found, "layer") : `${found} of ${several(every.length, "layer")}`;
  }

  const figures = [["smallest", nullFigure()], ["alpha", alphaFigure()], ["ratio", ratioFigure()]].filter(([, figure]) => figure);
  document.getElementById("figures").append(...figures.map(([kind, figure]) => savable(figure, kind)));
  // Without layers, or without a power law, there is nothing to show.
  if (!figures.length) for (const part of document.querySelectorAll("#glance, .contents li:has([href='#glance'])")) part.hidden = true;

  const form = document.getElementById("filters");
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", event => event.preventDefault());
  document.getElementById("csv").addEventListener("click", () => {
    const groupOf = index => rows[index].dataset.member && data.groups[rows[index].dataset.member].name;
    saving.download("layers.csv", "text/csv", saving.csv(data.records, table.matching().map(row => Number(row.dataset.index)), groupOf));
  });
  for (const link of document.querySelectorAll("a[data-verdict]")) link.addEventListener("click", () => {
    form.reset();
    document.getElementById("filter-verdict").value = link.dataset.verdict;
    filter();
  });
  filter();

  // The row of the address: an anchor, or #row- and the number of a layer, which a zoo knows.
  function rowOf(hash) {
    const number = /^#row-(\d+)$/.exec(hash);
    if (number) return rows[data.places ? data.places.indexOf(Number(number[1])) : Number(number[1])];
    let row = document.getElementById(hash.slice(1));
    try { row ??= document.getElementById(decodeURIComponent(hash.slice(1))); } catch {}  // a stray percent sign
    return row?.matches("#layers tbody tr") ? row : null;
  }

  const follow = () => {
    const row = rowOf(location.hash);
    if (row) show(row, location.hash.startsWith("#row-"));
    // Above the table stands which layers the page has.
    else if (data.places && /^#(row|layer)-/.test(location.hash)) document.getElementById("table").scrollIntoView();
  };
  addEventListener("hashchange", follow);
  // A second click on the same link does not change the address.
  document.addEventListener("click", event => { if (event.target.closest?.("a[href^='#layer-'], a[href^='#experts-']")) setTimeout(follow); });
  follow();
  // Browsers take the focus away when they have scrolled to the place of the address.
  addEventListener("load", () => setTimeout(follow));

  // The contents mark the part that is read.
  const links = new Map([...document.querySelectorAll(".contents a")].map(link => [document.querySelector(link.hash), link]));
  const seen = new Set();
  const observer = new IntersectionObserver(entries => {
    for (const {target, isIntersecting} of entries) if (isIntersecting) seen.add(target); else seen.delete(target);
    const first = [...links.keys()].find(part => seen.has(part));
    for (const [part, link] of links) if (part === first) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
  }, {rootMargin: "-15% 0px -60% 0px"});
  for (const part of links.keys()) observer.observe(part);
})();
