"use strict";
// The parts of every page: elements, empty figures, tables that sort and open.
const parts = (() => {
  function make(name, className, parent, text) {
    const node = document.createElement(name);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  }

  function nothing(title, text) {
    const figure = make("figure");
    make("figcaption", "", figure, title);
    make("p", "note", figure, text);
    return figure;
  }

  const collator = new Intl.Collator();

  // Compares two keys of a column, texts or numbers; null comes last in both directions.
  function compare(x, y, descending) {
    if (x === null || y === null) return (x === null) - (y === null);
    const order = typeof x === "string" ? collator.compare(x, y) : x - y;
    return descending ? -order : order;
  }

  // Lets the headings of `table` call `sort(column, descending)`, ascending first.
  function sortingHeads(table, sort) {
    const heads = [...table.tHead.rows[0].cells];
    for (const [column, head] of heads.entries()) head.querySelector("button").addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sort(column, descending);
    });
  }

  // Lets the headings of `table` sort its rows, and the names in the rows open them.
  //   keys(row)    the sort keys of a row, one for each column; null comes last
  //   detail(row)  the row that is shown below an open row
  //   pageRows     how many rows are shown at once, members of groups aside
  //   toggled(row, open)         called when a reader has opened or closed a row
  //   turned(start, end, count)  called when other rows are shown: those from `start` to `end` of `count`
  // A row of the class "group" opens to the rows of its members, which follow it.
  // Returns {rows, toggle(row, open), reveal(row), filter(matches, isNarrow), turn(pages), matching()}: `rows` are those
  // of layers, by their index; `filter` shows the rows that match, and opens the groups that have some if the filter is
  // narrow; `matching` returns these rows in their order, on whatever page.
  function layerTable(table, keys, detail, {pageRows = Infinity, toggled = () => {}, turned = () => {}} = {}) {
    const body = table.tBodies[0], every = [...body.rows];
    const rows = every.filter(row => !row.dataset.group).sort((one, other) => one.dataset.index - other.dataset.index);
    const groups = every.filter(row => row.dataset.group).map(row => ({row, isOpen: false, byHand: false, members: []}));
    for (const row of every) if (row.dataset.member) groups[row.dataset.member].members.push(row);
    const groupOf = row => groups[row.dataset.member];
    const opened = new Map();
    let tops = every.filter(row => !row.dataset.member), start = 0;
    let matches = () => true;

    const matchingTops = () => tops.filter(row => row.dataset.group ? groups[row.dataset.group].members.some(matches) : matches(row));

    function hide(row, hidden) {
      if (row.hidden !== hidden) row.hidden = hidden;
      if (opened.has(row)) opened.get(row).hidden = hidden;
    }

    function refresh() {
      const found = matchingTops();
      if (start >= found.length) start = 0;
      const shown = new Set(found.slice(start, start + pageRows));
      for (const row of rows) {
        const group = groupOf(row);
        hide(row, !(group ? group.isOpen && shown.has(group.row) && matches(row) : shown.has(row)));
      }
      for (const group of groups) {
        hide(group.row, !shown.has(group.row));
        group.row.querySelector("button.open").setAttribute("aria-expanded", String(group.isOpen));
      }
      turned(start, start + shown.size, found.length);
    }

    function filter(isMatching, isNarrow) {
      matches = isMatching;
      start = 0;
      for (const group of groups) group.isOpen = isNarrow || group.byHand;
      refresh();
    }

    function turn(pages) {
      const first = start + pages * pageRows;
      if (first < 0 || first >= matchingTops().length) return;
      start = first;
      refresh();
    }

    function reveal(row) {
      const group = row.dataset.group ? groups[row.dataset.group] : groupOf(row);
      if (group) group.isOpen = group.byHand = true;
      const place = matchingTops().indexOf(group ? group.row : row);
      if (place >= 0) start = pageRows === Infinity ? 0 : place - place % pageRows;
      refresh();
    }

    function toggle(row, open = !opened.has(row)) {
      if (open === opened.has(row)) return;
      row.querySelector("button.open").setAttribute("aria-expanded", String(open));
      if (open) {
        opened.set(row, detail(row));
        row.after(opened.get(row));
      } else {
        opened.get(row).remove();
        opened.delete(row);
      }
    }

    sortingHeads(table, (column, descending) => {
      const place = row => row.dataset.place ?? row.dataset.index;
      const order = (one, other) => compare(keys(one)[column], keys(other)[column], descending) || place(one) - place(other);
      const sorted = document.createDocumentFragment();  // one change of the page instead of thousands
      const put = row => sorted.append(row, ...(opened.has(row) ? [opened.get(row)] : []));
      tops.sort(order);
      for (const group of groups) group.members.sort(order);
      for (const row of tops) {
        put(row);
        if (row.dataset.group) groups[row.dataset.group].members.forEach(put);
      }
      start = 0;
      refresh();
      body.append(sorted);
    });

    for (const row of rows) row.querySelector("button.open").addEventListener("click", () => {
      toggle(row);
      toggled(row, opened.has(row));
    });
    for (const group of groups) group.row.querySelector("button.open").addEventListener("click", () => {
      group.isOpen = group.byHand = !group.isOpen;
      refresh();
      toggled(group.row, group.isOpen);
    });
    const matching = () => tops.flatMap(row => row.dataset.group ? groups[row.dataset.group].members : [row]).filter(matches);
    return {rows, toggle, reveal, filter, turn, matching};
  }

  return {make, nothing, compare, sortingHeads, layerTable};
})();
