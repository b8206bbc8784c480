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
  // Returns {rows, toggle(row, open), opened}: `opened` maps each open row to its detail.
  function layerTable(table, keys, detail) {
    const body = table.tBodies[0], rows = [...body.rows];
    const opened = new Map();

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
      const order = (one, other) => compare(keys(one)[column], keys(other)[column], descending) || one.dataset.index - other.dataset.index;
      for (const row of [...rows].sort(order)) {
        body.append(row);
        if (opened.has(row)) body.append(opened.get(row));
      }
    });

    for (const row of rows) row.querySelector("button.open").addEventListener("click", () => toggle(row));
    return {rows, toggle, opened};
  }

  return {make, nothing, compare, sortingHeads, layerTable};
})();
