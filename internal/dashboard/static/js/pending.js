// Devices that wait to be let in: those that speak and nobody has adopted, with a form to do it, and those that were
// announced and have not enrolled a key.

import { get, post } from './api.js';
import { fill, h, keyed, say } from './dom.js';
import { ago, count, plural } from './format.js';
import { assuranceWords, safetyClasses, safetyName, safetyWords } from './words.js';

const pageSize = 20; // shown before "show more"

// pendingCard is hidden while nobody waits. adopted() is called when somebody was let in.
export function pendingCard(app, adopted) {
  const list = h('ul', { class: 'waiting' });
  const kept = new Map();
  const words = h('p', { class: 'quiet' });
  const sites = h('datalist', { id: 'sites' });
  const done = h('div', { role: 'status', tabindex: '-1' });
  const more = h('button', { type: 'button', hidden: true, onclick: () => { limit += pageSize; draw(); } }, 'Show more');
  const el = h('section', { class: 'card', id: 'waiting', hidden: true, 'aria-labelledby': 'waiting-h' },
    h('div', { class: 'head' }, h('h2', { id: 'waiting-h' }, 'Waiting to be let in'), words), list, more, done, sites);
  let pending = [];
  let limit = pageSize;

  function draw() {
    keyed(list, kept, pending.slice(0, limit), (d) => d.id, (d) => row(app, d, welcome));
    more.hidden = pending.length <= limit;
    say(words, inWords(pending));
    el.hidden = pending.length === 0 && !done.firstChild;
  }
  function welcome(d) {
    fill(done, h('p', { class: 'note ok' }, h('strong', null, d.name || d.id), ` is enrolled as ${d.assurance} and belongs to ${d.owner}. It shows with its next message. `,
      h('a', { href: `#/device/${encodeURIComponent(d.id)}` }, 'Open it')));
    pending = pending.filter((p) => p.id !== d.id);
    draw();
    done.focus({ preventScroll: true });
    adopted();
  }
  return {
    el,
    update(list, devices) {
      pending = [...list].sort((a, b) => b.seen_ms - a.seen_ms || a.id.localeCompare(b.id, undefined, { numeric: true }));
      const known = [...new Set(devices.map((d) => d.site).filter(Boolean))].sort();
      if (sites.childElementCount !== known.length) fill(sites, known.map((site) => h('option', { value: site })));
      draw();
    },
  };
}

function inWords(pending) {
  const speak = pending.filter((d) => d.seen_ms > 0).length;
  const silent = pending.length - speak;
  return [speak && `${plural(speak, 'device speaks', 'devices speak')} and nobody adopted ${speak === 1 ? 'it' : 'them'}`,
    silent && `${count(silent)} announced, without a key yet`].filter(Boolean).join(' · ');
}

function row(app, first, welcome) {
  const name = h('span', { class: 'row-name' });
  const state = h('span', { class: 'pill' });
  const how = h('span', { class: 'w-how' });
  const seen = h('span', { class: 'quiet' });
  const place = h('div', { id: `adopt-${first.id}`, hidden: true });
  const button = h('button', { type: 'button', class: 'small', 'aria-expanded': 'false', 'aria-controls': place.id, onclick: () => show(place.hidden) }, 'Adopt');
  let device = first;

  function show(open) {
    place.hidden = !open;
    button.setAttribute('aria-expanded', String(open));
    if (!open) return button.focus();
    const form = adoption(app, device, welcome, () => show(false));
    fill(place, form.el);
    form.start();
  }
  return {
    el: h('li', null, h('div', { class: 'w-row' }, h('span', { class: 'c-name' }, name, seen), state, how, button), place),
    update(d) {
      device = d;
      const speaks = d.seen_ms > 0;
      say(name, d.name || d.id);
      say(seen, [d.name && d.name !== d.id ? d.id : '', speaks ? ago(d.seen_ms, app.now()) : d.site].filter(Boolean).join(' · '));
      say(state, speaks ? 'New' : 'Announced');
      state.className = `pill ${speaks ? 'warn' : ''}`;
      if (speaks && how.dataset.topic !== d.topic) fill(how, 'on ', h('code', null, d.topic), `, read as ${d.mapping}`);
      else if (!speaks) say(how, 'Enrols by itself, with the token it was given');
      how.dataset.topic = d.topic;
      button.hidden = !speaks;
    },
  };
}

// adoption is the form for one device. Of a device that was announced, the announcement says whose it is.
function adoption(app, d, welcome, close) {
  const id = (field) => `${field}-${d.id}`;
  const owner = h('select', { id: id('owner'), required: true }, h('option', { value: '' }, 'Choose …'));
  const name = h('input', { id: id('name'), maxlength: '200', placeholder: d.id });
  const site = h('input', { id: id('site'), maxlength: '200', list: 'sites', placeholder: 'Where it stands' });
  const safety = picker(id('safety'), safetyClasses.map((c) => [c, safetyName(c)]), 'essential', safetyWords);
  const assurance = picker(id('assurance'), ['channel-authenticated', 'unsigned'].map((a) => [a, a]), d.assurance, assuranceWords);
  const problem = h('div', { role: 'alert' });
  const go = h('button', { type: 'submit', class: 'main small' }, 'Adopt it');
  const announced = Boolean(d.owner);
  const el = h('form', { class: 'adopt', onsubmit: submit, onkeydown: (e) => e.key === 'Escape' && close() },
    announced
      ? h('p', null, `It was announced: it belongs to ${d.owner}${d.site ? `, stands at ${d.site}` : ''}, and its safety class is ${safetyName(d.safety).toLowerCase()}.`)
      : [field('third', 'Owner', owner), field('third', 'Name', name), field('third', 'Site', site), field('half', 'Safety class', safety.el, safety.words)],
    field('half', 'How its word counts', assurance.el, assurance.words), problem,
    h('div', { class: 'buttons' }, go, h('button', { type: 'button', class: 'small', onclick: close }, 'Cancel')));

  async function submit(event) {
    event.preventDefault();
    go.disabled = true;
    await app.guard(async () => {
      const asked = announced ? {} : { owner: owner.value, name: name.value.trim(), site: site.value.trim(), safety: safety.el.value };
      welcome(await post(`/devices/${encodeURIComponent(d.id)}/adopt`, { ...asked, assurance: assurance.el.value }));
    }, problem);
    go.disabled = false;
  }
  async function start() {
    (announced ? assurance.el : owner).focus();
    if (announced) return;
    let parties = [];
    await app.guard(async () => { ({ parties = [] } = await get('/parties')); }, problem);
    owner.append(...parties.map((p) => h('option', { value: p.id }, p.name && p.name !== p.id ? `${p.name} (${p.id})` : p.id)));
    if (parties.length === 1) owner.value = parties[0].id;
    if (!parties.length && !problem.firstChild) fill(problem, h('p', { class: 'note warn' }, 'There is nobody yet who could own it: “lamppost party add” registers somebody.'));
  }
  return { el, start };
}

const field = (width, text, input, ...more) => h('div', { class: `field ${width}` }, h('label', { for: input.id }, text), input, more);

// picker is a choice whose meaning stands below it.
function picker(id, options, chosen, meaning) {
  const words = h('p', { class: 'quiet', id: `${id}-words` });
  const el = h('select', { id, 'aria-describedby': words.id, onchange: () => say(words, meaning(el.value)) }, options.map(([value, text]) => h('option', { value }, text)));
  el.value = chosen;
  say(words, meaning(chosen));
  return { el, words };
}
