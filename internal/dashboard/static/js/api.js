// Asking the node. Every answer is JSON; a refusal becomes a Refused with the node's own words.

export class Refused extends Error {
  constructor(status, code, text) {
    super(text);
    this.status = status;
    this.code = code;
  }
}

// The token lives in an HttpOnly cookie that /login sets. Where the browser keeps no cookies it stays in this variable
// until the page is closed; nothing is ever written to the browser's storage.
let token = '';

async function ask(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { ...options, headers, credentials: 'same-origin', cache: 'no-store' });
  if (answer.ok) return answer;
  let code = 'unreadable';
  let text = `The node answered ${answer.status} to ${path}.`;
  try {
    ({ code = code, text = text } = await answer.json());
  } catch { /* a proxy's page, not ours: the status says enough */ }
  throw new Refused(answer.status, code, text);
}

// get fetches a path below /api.
export async function get(path, signal) {
  return (await ask(`/api${path}`, { signal })).json();
}

// post orders something below /api and returns what came of it, once it is committed.
export async function post(path, body) {
  return (await ask(`/api${path}`, { method: 'POST', body: JSON.stringify(body) })).json();
}

// send gives a text to the node as it is, and returns the answer.
export async function send(path, text) {
  return (await ask(`/api${path}`, { method: 'POST', body: text })).json();
}

const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

// getPatiently waits for what is not yet published: a checkpoint follows within a second.
export async function getPatiently(path, tries = 6) {
  for (;;) {
    try {
      return await get(path);
    } catch (err) {
      if (err.code !== 'not_ready' || --tries === 0) throw err;
      await pause(1000);
    }
  }
}

// file fetches a file, and waits for what is not published yet: so "not ready" is words on the page, not a bad file.
export async function file(path) {
  for (let tries = 6; ;) {
    try {
      return await (await ask(path)).blob();
    } catch (err) {
      if (err.code !== 'not_ready' || --tries === 0) throw err;
      await pause(1000);
    }
  }
}

// login hands the token over and reports whether the node takes it.
export async function login(given) {
  token = '';
  await fetch(`/login?token=${encodeURIComponent(given)}`, { credentials: 'same-origin', cache: 'no-store' });
  if (await allowed()) return true;
  token = given;
  if (await allowed()) return true;
  token = '';
  return false;
}

async function allowed() {
  try {
    await get('/status');
    return true;
  } catch (err) {
    if (err.status === 401) return false;
    throw err;
  }
}
