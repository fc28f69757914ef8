// Files with a proof in them: to save, or to check on the page /check/, which gets them from this page and not from the node.

import { file } from './api.js';
import { fill, h } from './dom.js';

// takeHome is two buttons for a file of the node: save it under a name, and check it in a new tab. path() names the file
// when it is asked for.
export function takeHome(path, name, label) {
  const answer = h('div', { role: 'status' });
  const tell = (words, kind = 'quiet') => fill(answer, h('p', { class: kind }, words));
  const guard = async (work) => {
    tell('Collecting the proofs …');
    try {
      tell(await work());
    } catch (err) {
      tell(err.status ? err.message : 'The node cannot be reached just now.', 'note bad');
    }
  };
  const save = () => guard(async () => `Saved as ${saveAs(await file(path()), name)}.`);
  const check = () => {
    const page = window.open('/check/');
    if (!page) return tell('This browser opens no new tab here. Save the file, and open it at /check/.', 'note bad');
    return guard(async () => {
      const ready = readyFor(page);
      const bytes = await (await file(path())).arrayBuffer();
      await ready;
      page.postMessage({ name, bytes }, location.origin, [bytes]);
      return 'Handed over to the page that checks it.';
    });
  };
  return [h('p', { class: 'buttons' }, h('button', { type: 'button', class: 'main', onclick: save }, label),
    h('button', { type: 'button', onclick: check }, 'Check it yourself')), answer];
}

// The languages of copies, as their readers call them.
const languages = { '': 'The buyer’s, if it is known', en: 'English', de: 'Deutsch', es: 'Español', fr: 'Français', nl: 'Nederlands' };
const formats = { pdf: 'PDF', html: 'Web page', csv: 'Spreadsheet (CSV)', xml: 'E-invoice (XML)' };

// takeCopy is a button for each format in which people read a bill, and a choice of the language.
export function takeCopy(buyer, number) {
  const answer = h('div', { role: 'status' });
  const choice = h('select', { id: 'copy-lang' }, Object.entries(languages).map(([tag, name]) => h('option', { value: tag }, name)));
  const save = async (format) => {
    fill(answer, h('p', { class: 'quiet' }, 'Writing it …'));
    const query = new URLSearchParams({ format, lang: choice.value, invoice: number });
    try {
      const name = saveAs(await file(`/api/statements/${encodeURIComponent(buyer)}?${query}`), `invoice-${number.replace(/[^\w.-]/g, '_')}.${format}`);
      fill(answer, h('p', { class: 'quiet' }, `Saved as ${name}.`));
    } catch (err) {
      fill(answer, h('p', { class: 'note bad' }, err.status ? err.message : 'The node cannot be reached just now.'));
    }
  };
  return [h('div', { class: 'field' }, h('label', { for: 'copy-lang' }, 'Language'), choice),
    h('p', { class: 'buttons copies' }, Object.entries(formats).map(([format, name]) => h('button', { type: 'button', 'data-format': format, onclick: () => save(format) }, name))), answer];
}

// saveAs saves a file under a name, and returns that.
export function saveAs(blob, name) {
  const link = h('a', { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  return name;
}

// readyFor waits until the page that checks files says that it can take one.
function readyFor(page) {
  return new Promise((done) => {
    addEventListener('message', function listen({ origin, source }) {
      if (origin !== location.origin || source !== page) return;
      removeEventListener('message', listen);
      done();
    });
  });
}
