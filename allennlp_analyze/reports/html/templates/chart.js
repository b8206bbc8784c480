// Draws one chart from plain numbers, as SVG in a figure: chart({title, alt, x, y, marks, note}).
//   x, y   {label, min, max, log}: the axes; values outside are cut off
//   marks  {type, style, label, ...}, drawn in order; those with a label are in the legend:
//     steps   edges (n + 1), values (n): a histogram, filled
//     bars    edges (n + 1), values (n), base (n): the same with lines between, on top of base
//     line    x, y
//     points  x, y, names, open(i): the name of each, and what opens it; the arrow keys go from one to the next
//     vline, hline   at
//     band    from, to: a part of the x axis that is shaded, never too thin to see
//   width  in pixels, for which the chart is drawn; letters keep their size up to there
//   hover  {x, text(i)}: the text for the pointer at the nearest x, and for the arrow keys
//   spread  whether points at one x are drawn beside each other
const chart = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const HEIGHT = 0.6;  // of the width
  const MARGIN = {left: 30, right: 12, top: 12, bottom: 46};
  const LETTER = 7;  // about the width of a letter
  const SIZE = 5, SMALL = 4;  // the radius of a point, and of those beside each other
  const THIN = 4;  // the least width of a band
  let drawn = 0;

  function make(name, attributes = {}, parent = null, text = null) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== null) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  }

  function html(name, className, parent, text = null) {
    const node = document.createElement(name);
    if (className) node.className = className;
    if (text !== null) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  }

  // Returns a function from a value to a position between two ends, in pixels.
  function scale(axis, from, to) {
    const of = axis.log ? Math.log10 : Number;
    const low = of(axis.min), span = of(axis.max) - low || 1;
    return value => from + (to - from) * (of(value) - low) / span;
  }

  function ticks(axis) {
    if (!axis.log) return linearTicks(axis.min, axis.max);
    const low = Math.log10(axis.min), high = Math.log10(axis.max);
    if (high - low < 0.9) return linearTicks(axis.min, axis.max).filter(value => value > 0);
    const every = Math.max(1, Math.ceil((high - low) / 6)), found = [];
    const subs = high - low < 2 ? [1, 2, 5] : high - low < 3 ? [1, 3] : [1];
    for (let exponent = Math.floor(low); exponent <= high; exponent++) {
      if (exponent % every !== 0) continue;
      for (const sub of subs) {
        const value = sub * 10 ** exponent;
        if (value >= axis.min * 0.999 && value <= axis.max * 1.001) found.push(value);
      }
    }
    return found;
  }

  function linearTicks(min, max) {
    const rough = (max - min) / 5 || 1, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 2.5, 5, 10].find(factor => factor * power >= rough * 0.999);
    const found = [];
    for (let i = Math.ceil(min / step - 1e-9); i * step <= max + step * 1e-9; i++) found.push(i * step);
    return found;
  }

  // Each tick has a text of its own, with as many digits as that takes.
  function tickTexts(values) {
    for (let digits = 4; digits < 12; digits++) {
      const texts = values.map(value => tickText(value, digits));
      if (new Set(texts).size === values.length) return texts;
    }
    return values.map(value => tickText(value, 12));
  }

  function tickText(value, most = 4) {
    if (value === 0) return "0";
    const exponent = Math.floor(Math.log10(Math.abs(value)) + 1e-9);
    if (exponent >= -3 && exponent < 5) return String(Number(value.toPrecision(most)));
    const digits = Number((value / 10 ** exponent).toPrecision(most - 1));
    const power = "10" + String(exponent).replace(/./g, c => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻");
    return digits === 1 ? power : `${digits}·${power}`;
  }

  function drawAxes(svg, spec, area, px, py) {
    const shown = ticks(spec.x), across = tickTexts(shown);
    for (const [i, value] of shown.entries()) {
      if (spec.x.whole && value % 1) continue;
      const x = px(value);
      make("line", {class: "grid", x1: x, x2: x, y1: area.top, y2: area.bottom}, svg);
      make("text", {x, y: area.bottom + 16, "text-anchor": "middle"}, svg, across[i]);
    }
    const found = ticks(spec.y), up = tickTexts(found);
    for (const [i, value] of found.entries()) {
      if (spec.y.whole && value % 1) continue;
      const y = py(value);
      make("line", {class: "grid", x1: area.left, x2: area.right, y1: y, y2: y}, svg);
      make("text", {x: area.left - 6, y: y + 4, "text-anchor": "end"}, svg, up[i]);
    }
    make("path", {class: "axis", d: `M${area.left} ${area.top}V${area.bottom}H${area.right}`}, svg);
    const middle = {x: (area.left + area.right) / 2, y: (area.top + area.bottom) / 2};
    make("text", {x: middle.x, y: area.bottom + 38, "text-anchor": "middle"}, svg, spec.x.label);
    make("text", {x: 0, y: 0, "text-anchor": "middle", transform: `translate(12 ${middle.y}) rotate(-90)`}, svg, spec.y.label);
  }

  // Values at or below the end of a logarithmic axis are drawn on it.
  const kept = (value, axis) => axis.log ? Math.max(value, axis.min) : value;
  const round = value => Math.round(value * 10) / 10;

  const DRAW = {
    steps(mark, {spec, area, px, py, group}) {
      const floor = py(spec.y.log ? spec.y.min : 0);
      let path = `M${round(px(mark.edges[0]))} ${floor}`;
      mark.values.forEach((value, i) => {
        path += `V${round(py(kept(value, spec.y)))}H${round(px(mark.edges[i + 1]))}`;
      });
      make("path", {class: `area ${mark.style}`, d: `${path}V${floor}Z`}, group);
    },
    bars(mark, {spec, area, px, py, group}) {
      mark.values.forEach((value, i) => {
        if (!value) return;
        const base = mark.base ? mark.base[i] : 0, top = py(base + value);
        const x = px(mark.edges[i]), width = px(mark.edges[i + 1]) - x;
        const bar = make("rect", {class: `bar ${mark.style}`, x, y: top, width, height: py(base) - top}, group);
        make("title", {}, bar, `${value} ${mark.label ?? ""}: ${tickText(mark.edges[i])} to ${tickText(mark.edges[i + 1])}`);
      });
    },
    line(mark, {spec, area, px, py, group}) {
      const path = mark.x.map((x, i) => `${i ? "L" : "M"}${round(px(x))} ${round(py(kept(mark.y[i], spec.y)))}`);
      make("path", {class: `line ${mark.style}`, d: path.join("")}, group);
    },
    points(mark, {spec, area, px, py, group, beside}) {
      mark.x.forEach((x, i) => {
        const at = {class: `point ${mark.style}`, cx: round(px(x) + beside(x, mark.y[i])), cy: round(py(mark.y[i])), r: mark.size ?? (spec.spread ? SMALL : SIZE)};
        const point = make("circle", at, group);
        if (mark.names) make("title", {}, point, mark.names[i]);
        if (!mark.open) return;
        point.classList.add("opens");
        point.setAttribute("role", "button");
        point.setAttribute("tabindex", "-1");
        point.addEventListener("click", () => mark.open(i));
      });
    },
    band(mark, {spec, area, px, py, group}) {
      const end = Math.min(px(mark.to), area.right), width = Math.max(THIN, end - px(mark.from));
      make("rect", {class: `band ${mark.style}`, x: round(end - width), y: area.top, width: round(width), height: area.bottom - area.top}, group);
    },
    vline(mark, {spec, area, px, py, group}) {
      make("path", {class: `line ${mark.style}`, d: `M${round(px(mark.at))} ${area.top}V${area.bottom}`}, group);
    },
    hline(mark, {spec, area, px, py, group}) {
      make("path", {class: `line ${mark.style}`, d: `M${area.left} ${round(py(mark.at))}H${area.right}`}, group);
    },
  };

  // Returns a function that moves points at one x sideways, so that they do not cover each other.
  function spreading({spec, area, px, py}) {
    const step = 2 * SMALL + 1, points = spec.marks.filter(mark => mark.type === "points");
    const columns = [...new Set(points.flatMap(mark => mark.x).map(x => Math.round(px(x))))].sort((a, b) => a - b);
    // The places beside each column, the nearest first: half of the way to the next column is its own.
    const places = new Map(columns.map((at, i) => {
      const before = i ? (at - columns[i - 1]) / 2 : at - area.left, after = i < columns.length - 1 ? (columns[i + 1] - at) / 2 : area.right - at;
      const left = Math.max(0, Math.floor((Math.min(before, at - area.left) - SMALL) / step)), right = Math.max(0, Math.floor((after - SMALL) / step));
      const found = Array.from({length: left + right + 1}, (_, n) => ({aside: (n - left) * step, heights: new Map()}));
      return [at, found.sort((one, other) => Math.abs(one.aside) - Math.abs(other.aside))];
    }));
    const bin = y => Math.floor(y / (2 * SMALL));
    const distance = ({heights}, y) => Math.min(2 * SMALL, ...[-1, 0, 1].flatMap(off => heights.get(bin(y) + off) ?? []).map(other => Math.abs(other - y)));
    return (x, value) => {
      const y = py(value), beside = places.get(Math.round(px(x)));
      let best = beside[0];
      for (const place of beside) {
        if (distance(place, y) > distance(best, y)) best = place;
        if (distance(best, y) === 2 * SMALL) break;
      }
      best.heights.set(bin(y), [...(best.heights.get(bin(y)) ?? []), y]);
      return best.aside;
    };
  }

  // Makes one of the points the stop of the tabulator, and lets the arrow keys go on from there.
  function keys(svg) {
    const points = [...svg.querySelectorAll(".opens")].sort((one, other) => one.getAttribute("cx") - other.getAttribute("cx"));
    if (!points.length) return;
    points[0].setAttribute("tabindex", "0");
    svg.addEventListener("keydown", event => {
      const at = points.indexOf(event.target);
      const to = {ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: points.length - 1}[event.key];
      if (at < 0) return;
      if (event.key === "Enter" || event.key === " ") event.target.dispatchEvent(new MouseEvent("click"));
      else if (points[to]) {
        event.target.setAttribute("tabindex", "-1");
        points[to].setAttribute("tabindex", "0");
        points[to].focus();
      } else return;
      event.preventDefault();
    });
  }

  function legend(figure, marks) {
    const shown = marks.filter(mark => mark.label);
    if (!shown.length) return;
    const list = html("ul", "legend", figure);
    for (const mark of shown) {
      const item = html("li", "", list);
      const sample = make("svg", {viewBox: "0 0 26 10", "aria-hidden": "true"}, item);
      const line = !["steps", "bars", "points", "band"].includes(mark.type);
      if (line) make("path", {class: `line ${mark.style}`, d: "M0 5H26"}, sample);
      else if (mark.type === "points") make("circle", {class: `point ${mark.style}`, cx: 13, cy: 5, r: 4.5}, sample);
      else make("rect", {class: `${{steps: "area", band: "band"}[mark.type] ?? "bar"} ${mark.style}`, x: 0, y: 0, width: 26, height: 10}, sample);
      item.append(mark.label);
    }
  }

  // Shows the text of the nearest x below the figure. For the keyboard and for screen readers it is a slider.
  function readout(svg, figure, {hover, width, title}, px) {
    const output = html("p", "note", figure, hover.rest ?? "");
    let at = 0;
    const tell = i => {
      at = i;
      output.textContent = hover.text(i);
      svg.setAttribute("aria-valuenow", i + 1);
      svg.setAttribute("aria-valuetext", hover.text(i));
    };
    const range = {role: "slider", tabindex: 0, "aria-valuemin": 1, "aria-valuemax": hover.x.length, "aria-valuenow": 1, "aria-valuetext": hover.text(0)};
    for (const [key, value] of Object.entries(range)) svg.setAttribute(key, value);
    svg.addEventListener("keydown", event => {
      const last = hover.x.length - 1;
      const to = {ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, PageUp: at + 10, PageDown: at - 10, Home: 0, End: last}[event.key];
      if (to === undefined) return;
      tell(Math.min(last, Math.max(0, to)));
      event.preventDefault();
    });
    svg.addEventListener("pointermove", event => {
      const box = svg.getBoundingClientRect();
      const x = (event.clientX - box.left) / box.width * width;
      let best = 0;
      hover.x.forEach((value, i) => { if (Math.abs(px(value) - x) < Math.abs(px(hover.x[best]) - x)) best = i; });
      tell(best);
    });
    svg.addEventListener("pointerleave", () => { output.textContent = hover.rest ?? ""; });
  }

  return spec => {
    const number = ++drawn;
    const figure = html("figure", "", null);
    html("figcaption", "", figure, spec.title);
    const width = spec.width, height = Math.round(width * HEIGHT);
    const longest = Math.max(2, ...tickTexts(ticks(spec.y)).map(text => text.length));
    const area = {left: MARGIN.left + LETTER * longest, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom};
    const opens = spec.marks.some(mark => mark.open && mark.x.length);
    const svg = make("svg", {class: "chart", viewBox: `0 0 ${width} ${height}`, role: opens ? "group" : "img", "aria-label": `${spec.title}. ${spec.alt}`}, figure);
    const px = scale(spec.x, area.left, area.right), py = scale(spec.y, area.bottom, area.top);
    const clip = make("clipPath", {id: `clip-${number}`}, svg);
    make("rect", {x: area.left - 1, y: area.top - 1, width: area.right - area.left + 2, height: area.bottom - area.top + 2}, clip);
    drawAxes(svg, spec, area, px, py);
    const group = make("g", {"clip-path": `url(#clip-${number})`}, svg);
    const beside = spec.spread ? spreading({spec, area, px, py}) : () => 0;
    for (const mark of spec.marks) DRAW[mark.type](mark, {spec, area, px, py, group, beside});
    keys(svg);
    legend(figure, spec.marks);
    if (spec.note) html("p", "note", figure, spec.note);
    if (spec.hover) readout(svg, figure, spec, px);
    return figure;
  };
})();
