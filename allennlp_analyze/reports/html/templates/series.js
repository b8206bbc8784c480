"use strict";
// The page of a series: figures of several layers over time, and of one layer where it is opened.
(() => {
  const {make, nothing, layerTable} = parts;
  const data = JSON.parse(document.getElementById("data").textContent);
  const {axis, at, labels, drawn, together, layers} = data;
  const STYLES = ["red", "orange", "blue", "green dash", "purple dash", "sky dot"];
  const WIDE = Math.max(280, Math.min(520, innerWidth - 64)), NARROW = Math.max(260, Math.min(430, innerWidth - 96));
  const FEW = 60;

  // The ends of an axis that shows all values, with some room.
  function range(values, log) {
    const low = Math.min(...values), high = Math.max(...values);
    if (log) return {min: low / 1.3, max: high * 1.3, log};
    // What has hardly changed is a flat line.
    const room = Math.max((high - low) * 0.06, Math.abs(high) * 0.02) || 1;
    return {min: low >= 0 ? Math.max(0, low - room) : low - room, max: high + room};
  }

  // One number over time, of one or several layers.
  function figure(which, shown, width) {
    const [, title, symbol, prefersLog] = drawn[which];
    const lines = shown.map((layer, i) => {
      const known = layer.values[which].map((value, k) => [at[k], value, k]).filter(([, value]) => value !== null);
      return {layer, style: STYLES[i % STYLES.length], known};
    }).filter(line => line.known.length);
    if (!lines.length) return nothing(title, "No layer has this number.");
    const values = lines.flatMap(line => line.known.map(([, value]) => value));
    const positive = values.filter(value => value > 0);
    const log = prefersLog && positive.length > 0 && Math.max(...positive) > 20 * Math.min(...positive);
    const marks = [];
    for (const {layer, style, known} of lines) {
      const x = known.map(([where]) => where), y = known.map(([, value]) => value);
      marks.push({type: "line", style, label: shown.length > 1 ? layer.name : undefined, x, y});
      if (x.length <= FEW) marks.push({type: "points", style: style.split(" ")[0], size: 3, x, y, names: known.map(([, value, k]) => `${layer.name}: ${value} at ${labels[k]}`)});
    }
    const first = lines[0].known;
    return chart({
      title, marks, width,
      alt: lines.map(({layer, known}) => `${layer.name}: from ${known[0][1]} to ${known[known.length - 1][1]}`).join("; "),
      x: {label: axis, ...range(at, false), whole: true},
      y: {label: symbol, ...range(log ? positive : values, log), whole: drawn[which][0] === "lost_directions"},
      hover: {x: first.map(([where]) => where), text: i => `${labels[first[i][2]]}: ${lines[0].layer.name} ${first[i][1]}`},
    });
  }

  const telling = data.overview.map(index => layers[index]);
  if (telling.length) document.getElementById("figures").append(...together.map(which => figure(which, telling, WIDE)));
  else document.getElementById("figures").append(nothing("Nothing to draw", "No checkpoint could be analyzed."));

  function detail(layer, columns) {
    const row = make("tr", "detail"), cell = make("td", "", row);
    cell.colSpan = columns;
    const begins = layer.verdicts.map((word, i) => [word, labels[i]]).filter(([word], i, all) => word !== null && (i === 0 || word !== all[i - 1][0]));
    make("p", "", cell, begins.map(([word, label]) => `${word} from ${label} on`).join("; ") + ".");
    if (layer.reason) make("p", "", cell, `At last: ${layer.reason}.`);
    const known = [...drawn.keys()].filter(which => layer.values[which].some(value => value !== null));
    make("div", "figures", cell).append(...known.map(which => figure(which, [layer], NARROW)));
    return row;
  }

  const table = document.getElementById("layers");
  layerTable(table, row => layers[Number(row.dataset.index)].sort,
    row => detail(layers[Number(row.dataset.index)], table.tHead.rows[0].cells.length));
})();
