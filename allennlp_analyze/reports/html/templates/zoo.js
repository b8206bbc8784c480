// The zoo's page: its figures, and the table of models, which is shown page by page.
(() => {
  const {make, compare, sortingHeads} = parts;
  const data = JSON.parse(document.getElementById("data").textContent);
  const {columns, rows, states, texts} = data;
  // A row of data: the name, the link to the report, then a value for each column.
  const NAME = 0, LINK = 1, FIRST = 2;
  const GROUP = FIRST + data.group_column;
  const STATE = FIRST + columns.findIndex(([form]) => form === "state");
  const LOST = FIRST + columns.findIndex(([form]) => form === "percent");
  const WIDE = Math.max(280, Math.min(520, innerWidth - 64));
  const number = count => count.toLocaleString("en");
  const several = count => `${number(count)} model${count === 1 ? "" : "s"}`;

  // ---- figures
  // A point links to its layer in the report on its model.
  function opening(mark) {
    return {...mark, open: i => { location.href = `${rows[mark.models[i]][LINK]}#row-${mark.layers[i]}`; }};
  }

  function figure(spec) {
    return chart({...spec, width: WIDE, marks: spec.marks.map(mark => mark.models ? opening(mark) : mark)});
  }

  // What cannot be drawn is a line of text.
  document.getElementById("figures").append(...data.charts.filter(spec => !spec.nothing).map(figure));
  const undrawn = document.getElementById("undrawn"), missing = data.charts.filter(spec => spec.nothing);
  for (const {title, nothing} of missing) make("li", "", undrawn, `${title}: ${nothing}`);
  undrawn.hidden = !missing.length;

  // ---- the table
  const table = document.getElementById("models"), body = table.tBodies[0];
  const inputs = ["name", "group", "state"].map(of => document.getElementById(`filter-${of}`));
  const [count, place, pages] = ["count", "place", "pages"].map(id => document.getElementById(id));
  const [previous, next] = ["previous", "next"].map(id => document.getElementById(id));
  const offered = new Map(data.groups.map((label, i) => [label, i]));
  // At first the worst state, and in it what lost most.
  const lost = i => rows[i][LOST] ?? -1;
  let order = rows.map((_, i) => i).sort((i, j) => rows[i][STATE] - rows[j][STATE] || lost(j) - lost(i) || i - j);
  let found = order, start = 0;

  // Formats numbers as in the rows for pages without scripts, with the same number of digits.
  function written(value, form) {
    if (value === null || value === "") return data.nothing;
    if (form === "plain" || typeof value === "string") return String(value);
    const exponent = value ? Math.floor(Math.log10(Math.abs(value)) + 1e-9) : 0;
    const plain = exponent >= -4 && exponent < data.digits;
    const text = plain ? String(value) : value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
    return form === "percent" && value ? `${text}%` : text;
  }

  function rowOf(index) {
    const [name, link, ...values] = rows[index];
    const line = make("tr"), head = make("th", "", line);
    head.scope = "row";
    if (data.names[index]) head.title = data.names[index];
    if (link === null) head.append(name);
    else make("a", "", head, name).href = link;
    for (const [i, [form, style]] of columns.entries()) {
      const cell = make("td", style, line);
      if (form === "state") {
        make("span", `mark ${states[values[i]][0]}`, cell, states[values[i]][1]);
        if (texts[data.notes[index]]) make("span", "remark", cell, texts[data.notes[index]]);
      } else cell.textContent = written(form === "text" ? texts[values[i]] : values[i], form);
    }
    return line;
  }

  function show(first) {
    start = first;
    const end = Math.min(found.length, start + data.page_rows);
    body.replaceChildren(...found.slice(start, end).map(rowOf));
    pages.hidden = found.length <= data.page_rows;
    place.textContent = `${number(start + 1)} to ${number(end)} of ${several(found.length)}`;
    // Not disabled, because that would take the focus from a reader who uses the keyboard.
    previous.setAttribute("aria-disabled", String(start === 0));
    next.setAttribute("aria-disabled", String(end === found.length));
  }

  function filter() {
    const [name, group, state] = inputs.map(input => input.value);
    const part = name.toLowerCase();
    // The last group in the list may stand for all groups that are not listed.
    const groupOf = row => offered.get(texts[row[GROUP]]) ?? offered.size - 1;
    found = order.filter(i => {
      const row = rows[i];
      return (data.names[i] ?? row[NAME]).toLowerCase().includes(part)
        && (!group || groupOf(row) === Number(group)) && (!state || row[STATE] === Number(state));
    });
    count.textContent = found.length === rows.length ? several(rows.length) : `${number(found.length)} of ${several(rows.length)}`;
    show(0);
  }

  sortingHeads(table, (column, descending) => {
    const at = column ? column - 1 + FIRST : NAME;
    const isText = column && columns[column - 1][0] === "text";
    const key = isText ? i => texts[rows[i][at]] || null : i => rows[i][at];
    order = rows.map((_, i) => i).sort((i, j) => compare(key(i), key(j), descending) || i - j);
    filter();
  });

  function turn(pagesOn) {
    const first = start + pagesOn * data.page_rows;
    if (first < 0 || first >= found.length) return;
    show(first);
    table.scrollIntoView({block: "start"});
  }

  previous.addEventListener("click", () => turn(-1));
  next.addEventListener("click", () => turn(1));
  const form = document.getElementById("filters");
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", event => event.preventDefault());
  filter();
})();
