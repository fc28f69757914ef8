// Advise: a form for what is known of a fleet, and what this node recommends for it. Nothing is ordered here, and nothing is kept.

import { get, post, send } from './api.js';
import { adviceOf } from './advice.js';
import { fill, h, say } from './dom.js';
import { saveAs } from './takehome.js';

// What was filled in and answered last stays until the dashboard is loaded again.
const last = { fleet: null, answer: null };

const mostBytes = 256 * 1024; // of a file, as the node takes it
const away = 'The node cannot be reached just now. Try again in a moment.';

export function advisePage(app) {
  const form = fleetForm();
  const answer = h('div', { class: 'page', id: 'advice' });
  const wrong = h('div', { role: 'alert' });
  const button = h('button', { type: 'submit', class: 'main' }, 'Advise');
  const told = h('p', { class: 'quiet', role: 'status' });
  const begin = (fleet, words) => {
    form.write(fleet);
    last.fleet = fleet;
    last.answer = null;
    fill(answer);
    fill(wrong);
    fill(unread);
    say(filled, words);
  };

  // take reads a file that somebody chose or dropped.
  async function take(file) {
    if (!file) return;
    const bad = (words) => fill(unread, h('p', { class: 'note bad' }, h('b', null, `“${file.name}” was not taken. `), h('span', { class: 'said' }, words)));
    say(filled, '');
    fill(unread);
    if (file.size > mostBytes) {
      bad(`It has ${Math.ceil(file.size / 1024)} KiB, and a fleet has 256 at most. Is it another file?`);
      return;
    }
    await app.guard(async () => {
      try {
        const { fleet } = await send('/fleets', await file.text());
        begin(fleet, `“${file.name}” is filled in.`);
      } catch (err) {
        if (err.status === 401) throw err;
        bad(err.status || err.name === 'NotReadableError' ? err.message : away);
      }
    });
  }

  // save gives what is filled in as a file, once the node takes it.
  async function save() {
    last.fleet = form.read();
    fill(wrong);
    say(told, '');
    await app.guard(async () => {
      try {
        const { name, file } = await post('/fleets', last.fleet);
        say(told, `Saved as ${saveAs(new Blob([file], { type: 'application/yaml' }), name)}, for lamppost advise --fleet.`);
      } catch (err) {
        if (err.status === 401) throw err;
        refuse(err);
      }
    });
  }

  async function submit(event) {
    event.preventDefault();
    last.fleet = form.read();
    button.disabled = true;
    fill(wrong);
    say(told, 'Weighing what was measured …');
    await app.guard(async () => {
      try {
        last.answer = await post('/advise', last.fleet);
      } catch (err) {
        if (err.status === 401) throw err;
        return refuse(err);
      } finally {
        say(told, '');
      }
      fill(answer, adviceOf(last.answer));
      answer.querySelector('h2').focus();
    });
    button.disabled = false;
  }

  // refuse shows why there is no answer, and leads to the field that it names.
  function refuse(err) {
    last.answer = null;
    fill(answer);
    fill(wrong, h('p', { class: 'note bad' }, err.status ? err.message : away));
    form.find(err.message)?.focus();
  }

  const chosen = h('input', { id: 'fleet-file', type: 'file', accept: '.yaml,.yml,.json', class: 'away', onchange: () => {
    take(chosen.files[0]);
    chosen.value = ''; // so that the same file, mended, can be chosen again
  } });
  const example = h('select', { id: 'fleet-example', disabled: true }, h('option', { value: '' }, 'An example …'));
  const filled = h('p', { class: 'quiet', role: 'status', id: 'filled' });
  const unread = h('div', { role: 'alert', id: 'unread' });
  const start = h('section', { class: 'card drop', 'aria-labelledby': 'begin-h' }, h('h2', { id: 'begin-h' }, 'Begin with'),
    h('div', { class: 'buttons' }, h('label', { class: 'sr', for: 'fleet-example' }, 'An example'), example, chosen, h('label', { class: 'button', for: 'fleet-file' }, 'A file of yours …'),
      h('span', { class: 'quiet' }, 'YAML or JSON, also dropped here: as for lamppost advise --fleet.')), filled, unread);
  droppable(start, take);
  const offer = (all) => {
    example.append(...all.map((f, i) => h('option', { value: i }, f.fleet.name)));
    example.disabled = false;
    example.addEventListener('change', () => example.value && begin(all[example.value].fleet, `“${all[example.value].fleet.name}” is filled in. Change what is different with you.`));
  };
  app.guard(async () => offer((await get('/fleets')).fleets));
  if (last.fleet) form.write(last.fleet);
  else form.empty();
  if (last.answer) fill(answer, adviceOf(last.answer));
  const el = h('div', { class: 'page' }, h('h1', null, 'Advise'),
    h('p', { class: 'lead' }, 'Say what is known of your machines, of those who live with their readings, and of what must hold. The answer says whether a ledger is needed at all, which, and what it takes in a year, from measurements. Nothing is kept of it.'),
    start, h('form', { class: 'page', id: 'fleet', onsubmit: submit }, form.el, wrong,
      h('p', { class: 'buttons' }, button, h('button', { type: 'button', id: 'save-fleet', onclick: save }, 'Save as a file'), told)), answer);
  return { title: 'Advise', el, stop() { last.fleet = form.read(); } };
}

// droppable lets files fall on an element, which shows that it takes them.
function droppable(el, take) {
  const over = (on) => el.classList.toggle('over', on);
  el.addEventListener('dragover', (event) => {
    event.preventDefault();
    over(true);
  });
  el.addEventListener('dragleave', () => over(false));
  el.addEventListener('drop', (event) => {
    event.preventDefault();
    over(false);
    take(event.dataTransfer.files[0]);
  });
}

// fleetForm is the fields of a fleet: write(fleet) fills them, read() returns what stands in them, find(words) the field that words name.
function fleetForm() {
  const name = h('input', { id: 'fleet-name', maxlength: 80, required: true });
  const classes = rows('class', 'Another kind of machine', classRow);
  const orgs = rows('org', 'Another organisation', orgRow);
  const needs = needsFields();
  return {
    el: [h('section', { class: 'card', 'aria-labelledby': 'machines-h' }, h('h2', { id: 'machines-h' }, 'The machines'), h('div', { class: 'inputs' }, field('Name of the fleet', name)), classes.el),
      h('section', { class: 'card', 'aria-labelledby': 'orgs-h' }, h('h2', { id: 'orgs-h' }, 'Who writes or reads the books'), orgs.el),
      h('section', { class: 'card', 'aria-labelledby': 'needs-h' }, h('h2', { id: 'needs-h' }, 'What must hold'), needs.el)],
    write(fleet) {
      name.value = fleet.name;
      classes.write(fleet.classes);
      orgs.write(fleet.organisations);
      needs.write(fleet.needs);
    },
    empty() {
      name.value = '';
      classes.write([undefined]);
      orgs.write([undefined]);
      needs.write(noNeeds);
    },
    read: () => ({ name: name.value.trim(), classes: classes.read(), organisations: orgs.read(), needs: needs.read() }),
    find: (words) => classes.named('classes', words) ?? orgs.named('organisations', words) ?? needs.input(/\bneeds\.(\w+)/.exec(words)?.[1]),
  };
}

// rows is a list of alike parts of the form, of which there is one at least. make(id, all, changed) returns a part.
function rows(kind, label, make) {
  const all = [];
  const list = h('div', { class: 'parts' });
  let made = 0;
  const changed = () => {
    all.forEach((row, i) => row.place(i + 1, all.length > 1));
  };
  const add = (value) => {
    const row = make(`${kind}-${++made}`, all, changed);
    row.remove.addEventListener('click', () => {
      all.splice(all.indexOf(row), 1);
      row.el.remove();
      changed();
      more.focus();
    });
    all.push(row);
    list.append(row.el);
    row.write(value);
    return row;
  };
  const more = h('button', { type: 'button', class: 'small', id: `${kind}-more`, onclick: () => {
    const row = add();
    changed();
    row.inputs.name.focus();
  } }, label);
  return {
    el: [list, h('p', { class: 'buttons' }, more)],
    write(values) {
      all.length = 0;
      list.replaceChildren();
      values.forEach(add);
      changed();
    },
    read: () => all.map((row) => row.read()),
    // named is the field that words name as classes.lamps.link or classes[0].name.
    named(kind, words) {
      for (const [i, row] of all.entries()) {
        for (const at of [`${kind}[${i}].`, `${kind}.${row.inputs.name.value.trim()}.`]) {
          const key = words.includes(at) && /^\w+/.exec(words.slice(words.indexOf(at) + at.length));
          if (key) return row.inputs[key[0]];
        }
      }
      return undefined;
    },
  };
}

const noClass = { name: '', devices: 100, signs: ['ed25519'], power: 'mains', battery_wh: 8, battery_years: 5, link: 'ethernet', readings_a_day: 96, late_minutes: 15, peak: 3, on_site: false };
const noNeeds = { latency_ms: 5000, survive: 'nothing', nobody_alone: false, check: 'parties', strangers: false, rtt_ms: 20, retention_years: 10, personal_data: false, stay_in: [],
  value_a_day: 0, budget_a_year: 0 };
const signing = { ed25519: 'Ed25519', es256: 'ES256', 'hmac-sha256': 'a shared secret (HMAC)' };

function classRow(id, all, changed) {
  const inputs = {
    name: text(`${id}-name`, { required: true }), devices: number(`${id}-devices`, { min: 1, step: 1, required: true }),
    readings_a_day: number(`${id}-readings`, { required: true }), late_minutes: number(`${id}-late`), peak: number(`${id}-peak`, { min: 1 }),
    power: choice(`${id}-power`, { mains: 'Mains', battery: 'Battery' }), battery_wh: number(`${id}-wh`), battery_years: number(`${id}-years`),
    link: choice(`${id}-link`, { ethernet: 'Ethernet', wifi: 'Wi-Fi', zigbee: 'Zigbee', cellular: 'Cellular', lora: 'LoRa' }),
    signs: text(`${id}-signs`), on_site: tick(`${id}-site`),
  };
  const suites = Object.keys(signing).map((s) => [s, tick(`${id}-${s}`)]);
  inputs.signs = suites[0][1]; // where a refusal of it leads
  const battery = [field('Battery, Wh', inputs.battery_wh), field('Must last, years', inputs.battery_years)];
  const legend = h('legend');
  const remove = h('button', { type: 'button', class: 'small' }, 'Remove');
  const powered = () => battery.forEach((f) => { f.hidden = inputs.power.value !== 'battery'; });
  inputs.power.addEventListener('change', powered);
  inputs.name.addEventListener('input', changed);
  return {
    inputs, remove,
    el: h('fieldset', { class: 'part' }, legend,
      h('div', { class: 'inputs' }, field('What they are', inputs.name), field('How many', inputs.devices), field('Readings a day, of each', inputs.readings_a_day),
        field('May be late by, minutes', inputs.late_minutes, 'What a report may gather. 0: sent at once'), field('Busiest hour, times the mean', inputs.peak),
        field('Connected by', inputs.link), field('Power', inputs.power), battery),
      h('div', { class: 'ticks', role: 'group', 'aria-label': 'They can sign with' }, h('span', { class: 'quiet', 'aria-hidden': 'true' }, 'They can sign with'), suites.map(([s, el]) => ticked(signing[s], el))),
      h('div', { class: 'head' }, ticked('A gateway can stand near them', inputs.on_site), remove)),
    place(n, several) {
      say(legend, inputs.name.value.trim() || `Machines ${n}`);
      remove.setAttribute('aria-label', `Remove ${legend.textContent}`);
      remove.hidden = !several;
    },
    write(c = noClass) {
      fillIn(inputs, c, ['signs']);
      suites.forEach(([s, el]) => { el.checked = c.signs.includes(s); });
      powered();
    },
    read() {
      const signs = suites.filter(([, el]) => el.checked).map(([s]) => s);
      const c = { ...takeOut(inputs, ['signs']), signs: signs.length ? signs : ['none'] };
      return c.power === 'battery' ? c : { ...c, battery_wh: 0, battery_years: 0 };
    },
  };
}

function orgRow(id, all, changed) {
  const inputs = { name: text(`${id}-name`, { required: true }), place: text(`${id}-place`, { maxlength: 2, placeholder: 'DE', autocapitalize: 'characters' }), runs: tick(`${id}-runs`) };
  const legend = h('legend');
  const remove = h('button', { type: 'button', class: 'small' }, 'Remove');
  const trusts = h('div', { class: 'ticks', role: 'group' });
  const trusted = new Set(); // rows, so that a changed name changes nothing
  let named = []; // until the others are there
  inputs.name.addEventListener('input', changed);
  const row = {
    inputs, remove,
    el: h('fieldset', { class: 'part' }, legend, h('div', { class: 'inputs' }, field('Name', inputs.name), field('Its machine stands in', inputs.place, 'Country, such as DE')),
      trusts, h('div', { class: 'head' }, ticked('Can run a machine of its own for this', inputs.runs), remove)),
    name: (n) => inputs.name.value.trim() || `Organisation ${n}`,
    place(n, several) {
      say(legend, row.name(n));
      remove.setAttribute('aria-label', `Remove ${legend.textContent}`);
      remove.hidden = !several;
      all.forEach((o) => named.includes(o.inputs.name.value) && trusted.add(o));
      named = [];
      trusts.setAttribute('aria-label', `Whose books ${row.name(n)} takes unchecked`);
      trusts.hidden = !several;
      fill(trusts, h('span', { class: 'quiet', 'aria-hidden': 'true' }, 'Takes unchecked the books of'), all.map((o, i) => o !== row && trust(o, i)));
      inputs.trusts = trusts.querySelector('input'); // where a refusal of it leads
    },
    write(o = { name: '', place: '', runs: false, trusts: [] }) {
      fillIn(inputs, o, ['trusts']);
      named = o.trusts;
    },
    read: () => ({ ...takeOut(inputs, ['trusts']), place: inputs.place.value.trim().toUpperCase(), trusts: all.filter((o) => trusted.has(o)).map((o) => o.inputs.name.value.trim()) }),
  };
  const trust = (other, i) => {
    const el = tick(`${id}-trusts-${i + 1}`);
    el.checked = trusted.has(other);
    el.addEventListener('change', () => (el.checked ? trusted.add(other) : trusted.delete(other)));
    return ticked(other.name(i + 1), el);
  };
  return row;
}

function needsFields() {
  const inputs = {
    latency_ms: number('need-latency', { min: 1, required: true }), rtt_ms: number('need-rtt'), retention_years: number('need-retention'),
    survive: choice('need-survive', { nothing: 'nobody', machine: 'a machine', organisation: 'an organisation' }),
    check: choice('need-check', { nobody: 'nobody', parties: 'the parties', anyone: 'anyone' }),
    stay_in: text('need-stay', { placeholder: 'DE, NL' }), value_a_day: number('need-value'), budget_a_year: number('need-budget'),
    nobody_alone: tick('need-alone'), strangers: tick('need-strangers'), personal_data: tick('need-personal'),
  };
  return {
    el: [h('div', { class: 'inputs' }, field('A reading is final within, ms', inputs.latency_ms, '99 of 100, from its sending'), field('It goes on without', inputs.survive), field('The books are checked by', inputs.check),
      field('Round trip, ms', inputs.rtt_ms, 'Between the organisations'), field('Kept for, years', inputs.retention_years), field('May only be in', inputs.stay_in, 'Countries. Empty: anywhere'),
      field('A day’s readings decide on, EUR', inputs.value_a_day), field('Budget a year, EUR', inputs.budget_a_year, '0: not said')),
    h('div', { class: 'ticks' }, ticked('Nobody alone may refuse, delay or reorder what others send', inputs.nobody_alone), ticked('Strangers may write', inputs.strangers), ticked('Readings tell of persons', inputs.personal_data))],
    write(n) {
      fillIn(inputs, n, ['stay_in']);
      inputs.stay_in.value = n.stay_in.join(', ');
    },
    read: () => ({ ...takeOut(inputs, ['stay_in']), stay_in: inputs.stay_in.value.toUpperCase().split(/[\s,;]+/).filter(Boolean) }),
    input: (key) => inputs[key],
  };
}

const text = (id, more) => h('input', { id, maxlength: 80, autocomplete: 'off', ...more });
const number = (id, more) => h('input', { id, type: 'number', min: 0, step: 'any', inputmode: 'decimal', ...more });
const tick = (id) => h('input', { id, type: 'checkbox' });
const choice = (id, options) => h('select', { id }, Object.entries(options).map(([value, words]) => h('option', { value }, words)));
const ticked = (label, el) => h('label', { class: 'tick' }, el, h('span', null, label));

function field(label, el, hint) {
  if (hint) el.setAttribute('aria-describedby', `${el.id}-hint`);
  return h('div', { class: 'field' }, h('label', { for: el.id }, label), el, hint && h('span', { class: 'quiet', id: `${el.id}-hint` }, hint));
}

// fillIn and takeOut move values between an object and inputs of the same names, but for some.
function fillIn(inputs, from, but = []) {
  for (const [key, el] of Object.entries(inputs)) {
    if (but.includes(key)) continue;
    if (el.type === 'checkbox') el.checked = from[key];
    else el.value = from[key];
  }
}

function takeOut(inputs, but = []) {
  return Object.fromEntries(Object.entries(inputs).filter(([key]) => !but.includes(key)).map(([key, el]) => [key, valueOf(el)]));
}

function valueOf(el) {
  if (el.type === 'checkbox') return el.checked;
  return el.type === 'number' ? Number(el.value) : el.value.trim();
}
