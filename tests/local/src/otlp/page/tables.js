// Rows that stay the same elements while their numbers change, so that what has the focus keeps it.
// Whatever comes from outside is put in as text.

/** An element with properties and children. */
export function make(name, properties = {}, ...children) {
  const { scope, className, ...others } = properties;
  const element = document.createElement(name);
  if (scope) element.setAttribute("scope", scope);
  if (className) element.className = className;
  Object.assign(element, others);
  element.append(...children);
  return element;
}

/** Sets a text where it has changed. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Brings the rows of `body` in line with `items`: `key(item)` tells which row is whose, `create(item)` makes one and `update(row, item)`
 * brings it up to date.
 */
export function rows(body, items, key, create, update) {
  const known = (body.known ??= new Map());
  const wanted = new Set();
  let before = null;
  for (const item of items) {
    const id = key(item);
    wanted.add(id);
    let row = known.get(id);
    if (!row) {
      row = create(item);
      known.set(id, row);
    }
    update(row, item);
    const place = before ? before.nextSibling : body.firstChild;
    if (place !== row) body.insertBefore(row, place);
    before = row;
  }
  for (const [id, row] of known) {
    if (wanted.has(id)) continue;
    row.remove();
    known.delete(id);
  }
}

/** Rows of texts. A column is `{ of, text, bad }`: the text of an item, whether it is not a number, and whether it is bad news. */
export function texts(body, items, key, columns) {
  const create = () =>
    make(
      "tr",
      {},
      ...columns.map(({ text }, index) =>
        index === 0 ? make("th", { scope: "row" }) : make("td", { className: text ? "text" : "" }),
      ),
    );
  const update = (row, item) => {
    columns.forEach(({ of, bad }, index) => {
      const cell = row.children[index];
      write(cell, of(item));
      cell.classList.toggle("bad", Boolean(bad?.(item)));
    });
  };
  rows(body, items, key, create, update);
}
