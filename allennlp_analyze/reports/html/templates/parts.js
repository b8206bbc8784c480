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
  // A row of the class "group" opens to the rows of its members, which follow it.
  // Returns {rows, toggle(row, open), reveal(row), filter(matches, isNarrow)}: `rows` are those of layers, by their
  // index; `filter` shows the rows that match, and opens the groups that have some if the filter is narrow.
  function layerTable(table, keys, detail) {
    const body = table.tBodies[0], every = [...body.rows];
    const rows = every.filter(row => !row.dataset.group).sort((one, other) => one.dataset.index - other.dataset.index);
    const groups = every.filter(row => row.dataset.group).map(row =>
      ({row, isOpen: false, byHand: false, members: every.filter(other => other.dataset.member === row.dataset.group)}));
    const groupOf = row => groups[row.dataset.member];
    const opened = new Map();
    let matching = () => true;

    function refresh() {
      for (const row of rows) {
        row.hidden = !matching(row) || groupOf(row)?.isOpen === false;
        if (opened.has(row)) opened.get(row).hidden = row.hidden;
      }
      for (const group of groups) {
        group.row.hidden = !group.members.some(matching);
        group.row.querySelector("button.open").setAttribute("aria-expanded", String(group.isOpen));
      }
    }

    function filter(matches, isNarrow) {
      matching = matches;
      for (const group of groups) group.isOpen = isNarrow || group.byHand;
      refresh();
    }

    function reveal(row) {
      const group = groupOf(row);
      if (group) group.isOpen = group.byHand = true;
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
      const place = row => row.dataset.index ?? row.dataset.place;
      const order = (one, other) => compare(keys(one)[column], keys(other)[column], descending) || place(one) - place(other);
      const put = row => body.append(row, ...(opened.has(row) ? [opened.get(row)] : []));
      const members = new Map(groups.map(group => [group.row, group.members]));
      for (const row of every.filter(row => !row.dataset.member).sort(order)) {
        put(row);
        for (const member of [...(members.get(row) ?? [])].sort(order)) put(member);
      }
    });

    for (const row of rows) row.querySelector("button.open").addEventListener("click", () => toggle(row));
    for (const group of groups) group.row.querySelector("button.open").addEventListener("click", () => {
      group.isOpen = group.byHand = !group.isOpen;
      refresh();
    });
    return {rows, toggle, reveal, filter};
  }

  return {make, nothing, compare, sortingHeads, layerTable};
})();
