// The page: one file, one pin, and what comes of both. Whatever is opened here is only ever read.

import { fill, h, hash, say } from './dom.js';
import { count, plural } from './format.js';
import { Findings, fillPaper, placeId, tick } from './bill.js';
import { demands, fingerprint, pinCard } from './pin.js';
import { filePicker, startEngine } from './worker.js';

const fileLimit = 67108864; // bytes, as audit.MaxFileBytes
const slow = 200; // ms, after which the page says that it is at work

const slot = (id) => document.getElementById(id)?.textContent.trim() ?? '';
const main = document.getElementById('main');
const state = document.getElementById('engine-state');
const ask = startEngine();

const pin = pinCard(ask, () => run());
const result = h('div', { id: 'result', role: 'status', 'aria-live': 'polite' });
const sheet = h('div', { class: 'page', id: 'sheet' });
const means = h('div', { class: 'page' });
const opened = h('p', { class: 'quiet', id: 'opened' }, 'statement.json, receipt.json, report.json, or a page that carries one.');
const drop = h('section', { class: 'card no-print drop', 'aria-labelledby': 'file-h' }, h('h2', { id: 'file-h' }, 'The file to check'),
  h('p', null, 'Drop it here, or'), h('p', { class: 'buttons' }, filePicker('file-open', 'Open a file', '.json,.html,.htm,application/json,text/html', (f) => open(f))), opened);
let file = null; // {name, bytes, words}
let turn = 0;

// open reads a file that was dropped, picked or handed over.
async function open(blob, name = blob.name) {
  if (blob.size > fileLimit) return fail(name, `The file has ${count(blob.size)} bytes, more than any that this page reads.`);
  let bytes = new Uint8Array(await blob.arrayBuffer());
  const inside = carried(bytes);
  if (inside === '') return fail(name, 'This page carries no bill: open the one that was sent to you.');
  if (inside) {
    try {
      bytes = await ask('unpack', inside);
    } catch {
      return fail(name, 'What this page carries cannot be unpacked.');
    }
  }
  file = { name, bytes, words: parse(bytes) };
  say(opened, `${name}, ${plural(bytes.length, 'byte')}`);
  await run();
  if (result.getBoundingClientRect().top > innerHeight * 0.7) result.scrollIntoView();
}

// carried returns what a page like this one carries, in base64; null for a file that is no page.
function carried(bytes) {
  if (!/^\s*<!doctype html/i.test(new TextDecoder().decode(bytes.subarray(0, 64)))) return null;
  const match = /<script type="text\/plain" id="file">([A-Za-z0-9+/=\s]*)<\/script>/.exec(new TextDecoder().decode(bytes));
  return match ? match[1].trim() : '';
}

// parse reads the words that are shown. Numbers that JavaScript would round stay as they are written.
function parse(bytes) {
  try {
    const exact = (_, value, context) => (typeof value === 'number' && !Number.isSafeInteger(value) && context?.source ? context.source : value);
    return JSON.parse(new TextDecoder().decode(bytes), exact);
  } catch {
    return null;
  }
}

// run checks the file under the pin that counts now, and shows what came of it.
async function run() {
  if (!file) return;
  const mine = ++turn;
  const began = performance.now();
  const patience = setTimeout(() => fill(result, h('div', { class: 'result wait' }, h('span', { class: 'mark spin', 'aria-hidden': 'true' }, '◌'),
    h('p', null, 'Checking every line …'))), slow);
  try {
    if (!await loaded) return;
    await pin.recall(file.words?.network);
    const now = pin.current(file.words?.network);
    const answer = await ask('check', file.bytes, now.text);
    if (mine !== turn) return;
    clearTimeout(patience);
    show(answer, now);
    result.dataset.ms = `${Math.round(performance.now() - began)} ${Math.round(answer.ms)}`; // from the bytes to the page, of which in the checker
    result.dataset.done = String(turn);
  } catch (err) {
    if (mine === turn) fail(file.name, `The checker stopped: ${err.message}`);
  } finally {
    clearTimeout(patience);
  }
}

function fail(name, words) {
  file = null;
  fill(sheet);
  fill(means);
  fill(result, h('div', { class: 'result bad', 'data-verdict': 'bad' }, h('span', { class: 'mark', 'aria-hidden': 'true' }, '✗'), h('p', null, h('strong', null, `${name} cannot be checked.`), ` ${words}`)));
}

function show(answer, now) {
  const found = new Findings(answer, now.how);
  const kind = kindOf(file.words);
  fill(result, verdict(answer, now, kind));
  if (file.words && kind !== 'file') fillPaper(sheet, file.words, found);
  else fill(sheet);
  fill(means, meaning(answer, now));
}

const fileKinds = { 'statement/1': 'statement', 'receipt/1': 'receipt', 'report/1': 'report' };
const kindOf = (words) => fileKinds[words?.lamppost] ?? 'file';

function verdict(answer, now, kind) {
  const box = (name, sign, ...words) => h('div', { class: `result ${name}`, 'data-verdict': name }, h('span', { class: 'mark', 'aria-hidden': 'true' }, sign), h('div', { class: 'stack' }, words));
  const title = (words) => h('p', { class: 'headline' }, words);
  if (answer.holds && now.how === 'given') return box('ok', '✓', title(sentence(kind)), h('p', null, `${amounts(answer.finding, kind)} It is signed by ${answer.finding.signers.join(', ')}, whose key your pin names.`), pinLine(answer));
  if (answer.holds) {
    const by = now.how === 'offered' ? 'It was held against the pin that this page brought along. Whoever made the page could have made both.' : 'No pin says whose network this is: anybody can found one of that name.';
    return box('same', '=', title(`This ${kind} agrees with itself.`), h('p', null, `${amounts(answer.finding, kind)} ${by} Bring the pin, or its fingerprint, from elsewhere, and this turns green or red.`));
  }
  if (answer.needs_pin) return box('same', '?', title(`This ${kind} says nothing without a pin.`), h('p', null, 'It does not carry the network’s founding, so nobody’s signature can be checked. Bring the pin.'));
  const network = file.words?.network;
  if (now.how === 'given' && typeof network === 'string' && !answer.proven && network !== answer.pin?.network) {
    return box('bad', '✗', title(`This ${kind} is of another network than your pin.`),
      h('p', null, `It is of network “${network}”, your pin of “${answer.pin?.network}”. So nothing in it is signed by anybody whose word counts for you. If you did expect something of “${network}”, bring its pin.`), pinLine(answer));
  }
  const faults = answer.faults?.length ? answer.faults : [{ path: '', text: answer.error }];
  return box('bad', '✗', title(`Do not trust this ${kind}.`), h('p', null, answer.proven ? 'What is written in it is not what was signed:' : 'Its proof does not hold:'),
    h('ul', { class: 'faults' }, faults.slice(0, 20).map((f) => h('li', null, place(f.path), f.text))), faults.length > 20 && h('p', null, `And ${plural(faults.length - 20, 'more place')}.`), now.how === 'given' && pinLine(answer));
}

const sentence = (kind) => ({ statement: 'Every line holds.', receipt: 'This receipt holds.', report: 'This report is as its device signed it.' }[kind] ?? 'This file holds.');

function amounts(finding, kind) {
  if (kind !== 'statement') return `${plural(finding.readings, 'reading')}, unchanged since ${finding.readings === 1 ? 'it was' : 'they were'} signed.`;
  const bills = finding.invoices > 0 && `${plural(finding.lines, 'line')} of ${plural(finding.invoices, 'bill')} and every sum were computed again, from ${plural(finding.readings, 'signed register value')}.`;
  return [bills, finding.payments > 0 && `${plural(finding.payments, 'payment')} of contracts, as the log has them.`].filter(Boolean).join(' ');
}

const pinLine = ({ pin: p }) => h('p', { class: 'quiet pinned' }, `Pin of network ${p.network}, fingerprint `, fingerprint(p), `. Must have signed: ${demands(p)}.`);

// place names where a fault is, with a link to the line or reading.
function place(path) {
  if (!path) return null;
  const [, top, i, part, j] = path.split('/');
  const inv = top === 'invoices' ? file.words?.invoices?.[i] : undefined;
  const link = (at, words) => [h('a', { href: `#${placeId(at)}`, onclick: (e) => { e.preventDefault(); document.getElementById(placeId(at))?.scrollIntoView({ block: 'center' }); } }, words), ': '];
  if (inv && part === 'lines' && j !== undefined) return link(`/invoices/${i}/lines/${j}`, `Bill ${inv.number}, line ${inv.lines?.[j]?.n ?? Number(j) + 1}`);
  if (top === 'payments' && i === 'lines' && part !== undefined) return link(`/payments/lines/${part}`, `Payment ${Number(part) + 1}`);
  if (top === 'report' && i === 'readings' && part !== undefined) return link(`/report/readings/${part}`, `Reading ${Number(part) + 1}`);
  return inv ? [h('strong', null, `Bill ${inv.number}`), ': '] : null;
}

function meaning(answer, now) {
  const points = (words, sign) => h('ul', { class: 'points' }, words.map((w) => h('li', null, h('span', { class: 'mark', 'aria-hidden': 'true' }, sign), h('span', null, w))));
  if (!answer.holds) {
    return h('section', { class: 'card', 'aria-labelledby': 'next-h' }, h('h2', { id: 'next-h' }, 'What to do now'),
      h('p', null, 'Somebody changed the file, or it was damaged on its way, or it belongs to another network than your pin. Ask whoever sent it for the statement again. If it comes the same, keep the file: with it anybody can see what you see here.'));
  }
  const open = [...answer.finding.does_not_prove];
  if (now.how !== 'given') open.unshift('whose network this is: that takes a pin which you have from elsewhere');
  return h('div', { class: 'two' },
    h('section', { class: 'card', 'aria-labelledby': 'proves-h' }, h('h2', { id: 'proves-h' }, 'What this proves'), points(answer.finding.summary, '✓')),
    h('section', { class: 'card', 'aria-labelledby': 'open-h' }, h('h2', { id: 'open-h' }, 'What this does not prove'), points(open, '–')));
}

function about() {
  const own = slot('file') !== '';
  return h('section', { class: 'card', 'aria-labelledby': 'about-h' }, h('h2', { id: 'about-h' }, 'Who checks the checker?'),
    h('p', null, own ? 'This page came with the bill in it. Whoever writes bills could also write a page that is green whatever is in it. To be sure, check it with a copy of your own:'
      : 'A page can claim anything, also that all is well. If you have it from whoever writes your bills, check once with a copy of your own:'),
    h('ul', { class: 'points' },
      h('li', null, h('span', { class: 'mark', 'aria-hidden': 'true' }, '1'), h('span', null, 'Get this page, or the program lamppost, from somebody who does not write your bills, and keep it. The page is one file, which also works from a USB stick, without any network.')),
      h('li', null, h('span', { class: 'mark', 'aria-hidden': 'true' }, '2'), h('span', null, own ? 'Open this very file there: it takes the bill out of it. Or run ' : 'Open your bills there. Or run ', h('code', null, `lamppost verify --pin network.pin ${own ? 'FILE.html' : 'statement.json'}`), own && ', which also says whether the checker in this page is the program’s own', '.'))),
    h('p', { class: 'quiet checker' }, `Checker of Lamppost ${slot('made')}, SHA-256 `, hash(slot('checker'), 'SHA-256 of the checker'), '. Everybody who has the same version should see the same number.'));
}

function lead() {
  return h('div', { class: 'stack' }, h('h1', null, slot('file') ? 'A bill that you can check' : 'Check a bill yourself'),
    h('p', { class: 'lead' }, 'This page computes every line again, here in your browser: from the meter readings that were signed, under the tariff that was agreed, up to a checkpoint that the network signed.'));
}

// load starts the checker and reports whether it can be asked.
async function load() {
  try {
    const ms = await ask('load', slot('wasm'));
    state.dataset.mode = 'live';
    state.dataset.ms = String(Math.round(ms));
    say(state.querySelector('.link-text'), 'Checker ready');
    if (slot('pin')) await pin.offered(new TextDecoder().decode(await ask('unpack', slot('pin'))));
    return true;
  } catch (err) {
    state.dataset.mode = 'away';
    say(state.querySelector('.link-text'), 'No checker');
    fill(result, h('p', { class: 'note bad', role: 'alert' }, `The checker cannot run in this browser: ${err.message}. A newer browser can, and so can the program: lamppost verify --pin network.pin FILE.`));
    return false;
  }
}

// takeDrops lets a file be dropped anywhere on the page.
function takeDrops() {
  addEventListener('dragover', (e) => { e.preventDefault(); document.body.classList.add('over'); });
  addEventListener('dragleave', (e) => { if (!e.relatedTarget) document.body.classList.remove('over'); });
  addEventListener('drop', (e) => {
    e.preventDefault();
    document.body.classList.remove('over');
    if (e.dataTransfer.files[0]) open(e.dataTransfer.files[0]);
  });
}

// takeHandover lets the dashboard, which opened this page, hand its file over: between two pages of one node, by no request.
function takeHandover() {
  if (!window.opener || !location.protocol.startsWith('http')) return;
  addEventListener('message', ({ origin, source, data }) => {
    if (origin === location.origin && source === window.opener && data?.bytes instanceof ArrayBuffer) open(new Blob([data.bytes]), String(data.name));
  });
  window.opener.postMessage('check page ready', location.origin);
}

let loaded = null;
document.addEventListener('DOMContentLoaded', async () => {
  const came = slot('file') !== '';
  const page = h('div', { class: 'page' }, lead(), came ? null : drop, came ? result : pin.el, came ? pin.el : result, sheet, means, about(), came ? drop : null);
  fill(main, page);
  main.setAttribute('aria-busy', 'true');
  document.querySelector('.skip').addEventListener('click', (e) => { e.preventDefault(); main.focus(); });
  takeDrops();
  loaded = load();
  if (slot('file')) await open(new Blob([await ask('unpack', slot('file'))]), 'What came with this page');
  takeHandover();
  main.removeAttribute('aria-busy');
});
