// Figures for people. Money and registers arrive as decimal strings and stay decimal strings: they are shifted and
// grouped as text, never turned into floating point numbers to compute with.

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';

// zoneName says which clock the times on the page are of, e.g. "Europe/Berlin (GMT+1)".
export function zoneName(ms = Date.now()) {
  const parts = new Intl.DateTimeFormat(undefined, { timeZone: zone, timeZoneName: 'short' }).formatToParts(ms);
  const short = parts.find((p) => p.type === 'timeZoneName')?.value;
  return short && short !== zone ? `${zone} (${short})` : zone;
}

const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const dateTimeSeconds = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const clockSeconds = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const dayClock = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' });
const monthOnly = new Intl.DateTimeFormat(undefined, { month: 'short', year: 'numeric' });
const dayOnly = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' });
const clockOnly = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

export const when = (ms) => (ms > 0 ? dateTime.format(ms) : '–');
export const whenExactly = (ms) => (ms > 0 ? dateTimeSeconds.format(ms) : '–');
export const whenShort = (ms) => (ms > 0 ? dayClock.format(ms) : '–');
export const clock = (ms) => (ms > 0 ? clockSeconds.format(ms) : '–');
export const monthYear = (ms) => monthOnly.format(ms);
export const axisDay = (ms) => dayOnly.format(ms);
export const axisClock = (ms) => clockOnly.format(ms);
export const period = (from, to) => dateTime.formatRange(from, to);
export const periodDays = (from, to) => dayOnlyYear.formatRange(from, to);
const dayOnlyYear = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });

// ago says how long before now a time was, in the one unit that matters.
export function ago(ms, now) {
  if (!(ms > 0)) return 'never';
  const s = Math.max(0, Math.round((now - ms) / 1000));
  if (s < 3) return 'now';
  const [n, unit] = s < 90 ? [s, 's'] : s < 5400 ? [Math.round(s / 60), 'min'] : s < 129600 ? [Math.round(s / 3600), 'h']
    : [Math.round(s / 86400), 'days'];
  return `${n} ${unit} ago`;
}

const counts = new Intl.NumberFormat();

export const count = (n) => counts.format(n ?? 0);
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

const plain = /^-?\d+(\.\d+)?$/;

// shift moves the decimal point of a decimal string: shift('1234.5', -3) is '1.2345'.
export function shift(text, places) {
  if (!plain.test(text)) return text;
  const minus = text.startsWith('-') ? '-' : '';
  let [whole, frac = ''] = text.replace('-', '').split('.');
  for (; places < 0; places++) {
    frac = (whole.at(-1) ?? '0') + frac;
    whole = whole.slice(0, -1);
  }
  for (; places > 0; places--) {
    whole += frac[0] ?? '0';
    frac = frac.slice(1);
  }
  whole = whole.replace(/^0+(?=\d)/, '') || '0';
  return minus + whole + (frac ? `.${frac}` : '');
}

// decimal groups a decimal string for the reader's language with all its digits, or with at most `most` after the point.
export function decimal(text, most = 20) {
  text = String(text ?? '');
  if (!plain.test(text)) return text || '–';
  const digits = Math.min((text.split('.')[1] ?? '').length, most);
  return new Intl.NumberFormat(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(text);
}

// drawn formats a number that was only ever meant to be drawn.
export const drawn = (n) => (Number.isFinite(n) ? new Intl.NumberFormat(undefined, { maximumSignificantDigits: 6 }).format(n) : '–');

// money shows an amount of a currency as it is rounded there.
export const money = (amount, currency) => currencyText(amount, currency, {});

// price shows an amount with every digit it has: a price of a kilowatt hour has more than a total.
export const price = (amount, currency) => currencyText(amount, currency, { maximumFractionDigits: 6 });

function currencyText(amount, currency, options) {
  if (!plain.test(String(amount))) return '–';
  try {
    return new Intl.NumberFormat(undefined, { style: 'currency', currency, ...options }).format(String(amount));
  } catch {
    return `${decimal(amount)} ${currency}`; // not a currency code
  }
}

// purse shows amounts by currency, {"EUR":"12.34"}.
export function purse(amounts) {
  const all = Object.entries(amounts ?? {}).sort();
  return all.length ? all.map(([currency, amount]) => money(amount, currency)).join(' · ') : '–';
}

export const negative = (amount) => String(amount).startsWith('-') && /[1-9]/.test(amount);
export const zero = (amount) => !/[1-9]/.test(String(amount));

const units = { Cel: '°C', '/': '', '%': '%', m3: 'm³', l: 'L', VA: 'VA', var: 'var', min: 'min', s: 's' };

// quantity shows a value with its unit; watt hours of a meter are read in kilowatt hours.
export function quantity(value, unit) {
  value = String(value ?? '');
  if (unit === 'Wh' && plain.test(value) && value.replace('-', '').split('.')[0].length > 3) {
    return `${decimal(shift(value, -3), 3)} kWh`;
  }
  return `${decimal(value, 6)} ${units[unit] ?? unit ?? ''}`.trim();
}

export const unitName = (unit) => units[unit] ?? unit ?? '';
