"use strict";
// The table at the page's end: sort by a click on a heading, filter by a text. Without scripts the page is complete.
const table = document.getElementById("tensors");
const body = table.tBodies[0];
const heads = [...table.tHead.rows[0].cells];
const key = (row, column) => row.cells[column].dataset.key ?? row.cells[column].textContent;

heads.forEach((head, column) => {
  head.firstElementChild.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") !== "descending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const sign = down ? -1 : 1;
    const rows = [...body.rows].sort(
      (a, b) => sign * key(a, column).localeCompare(key(b, column), "en", { numeric: true }),
    );
    if (column !== 0 && column !== 2 && column !== 3) {
      rows.sort((a, b) => sign * (Number(key(a, column)) - Number(key(b, column))));
    }
    body.append(...rows);
  });
});

document.getElementById("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.trim().toLowerCase();
  for (const row of body.rows) {
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
  }
});
