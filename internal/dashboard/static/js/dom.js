// Building pages. Text becomes text nodes and nothing else: no string is ever parsed as markup here.

// h makes an element: properties that begin with "on" are listeners, a class that is false is left out, `value` and
// `checked` are set as properties, everything else as attributes; null and false leave an attribute out.
export function h(tag, props, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) el.addEventListener(name.slice(2), value);
    else if (name === 'value') el.value = value;
    else el.setAttribute(name, value === true ? '' : value);
  }
  el.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return el;
}

// part makes an element of an SVG picture.
export function part(tag, attributes) {
  const el = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) el.setAttribute(name, value);
  return el;
}

// fill replaces what an element holds.
export function fill(el, ...children) {
  el.replaceChildren(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return el;
}

// say sets an element's text where it changed, so that what reads the page aloud is not told the same again.
export function say(el, text) {
  if (el.textContent !== text) el.textContent = text;
  return el;
}

const calm = matchMedia('(prefers-reduced-motion: reduce)');

// move sets a number's text and, where it changed from another number, lets it glow for a moment.
export function move(el, text) {
  if (el.textContent === text) return;
  const before = el.textContent;
  el.textContent = text;
  if (before === '' || before === '–' || calm.matches || !el.animate) return;
  el.animate([{ color: 'var(--glow)' }, { color: 'inherit' }], { duration: 900, easing: 'ease-out' });
}

// keyed keeps one child of parent per item, in the items' order, and reuses a child while its key stays: the focus and
// an open detail survive a refresh. make(item) returns {el, update(item)}.
export function keyed(parent, kept, items, keyOf, make) {
  const wanted = new Set(items.map(keyOf));
  for (const [key, entry] of kept) {
    if (wanted.has(key)) continue;
    entry.el.remove();
    kept.delete(key);
  }
  let at = parent.firstChild;
  for (const item of items) {
    let entry = kept.get(keyOf(item));
    if (!entry) kept.set(keyOf(item), (entry = make(item)));
    entry.update(item);
    if (entry.el === at) at = at.nextSibling;
    else parent.insertBefore(entry.el, at);
  }
}

// copyButton puts text() on the clipboard and says so.
export function copyButton(label, text) {
  const button = h('button', { type: 'button', class: 'small' }, label);
  const done = (words) => {
    button.textContent = words;
    setTimeout(() => { button.textContent = label; }, 1800);
  };
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(text());
      done('Copied');
    } catch {
      done('Select and copy by hand');
    }
  });
  return button;
}

// hash shows a long fingerprint short; it opens to its full length on a tap.
export function hash(hex, name) {
  const el = h('button', { type: 'button', class: 'hash', 'aria-expanded': 'false' });
  const show = (open) => {
    el.setAttribute('aria-expanded', String(open));
    el.setAttribute('aria-label', `${name}: ${open ? hex : short(hex)}. ${open ? 'Shorten' : 'Show all'}`);
    el.textContent = open ? hex : short(hex);
  };
  el.addEventListener('click', () => show(el.getAttribute('aria-expanded') !== 'true'));
  show(false);
  return el;
}

export function short(hex) {
  return hex.length > 20 ? `${hex.slice(0, 8)}…${hex.slice(-8)}` : hex;
}
