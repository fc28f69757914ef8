// The check of a proof, here in the browser: hashes as in RFC 6962 §2.1, the walk to the root as in RFC 9162 §2.1.3.2.
// It trusts nothing that the node says about the result: it takes the entry's bytes and the path and computes the root.

const hexDigits = /^([0-9a-f]{2})*$/;

export function fromHex(hex) {
  if (!hexDigits.test(hex)) throw new Error('not hexadecimal');
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

export const toHex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');

// sha256 uses the browser's own SHA-256, which pages opened over plain HTTP from another machine do not get; then ours.
export async function sha256(bytes) {
  const subtle = globalThis.crypto?.subtle;
  return subtle ? new Uint8Array(await subtle.digest('SHA-256', bytes)) : sha256Plain(bytes);
}

const join = (...parts) => {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
};

export const leafHash = (record) => sha256(join([0x00], record));
export const nodeHash = (left, right) => sha256(join([0x01], left, right));

// walk follows a path from an entry's hash to the root it leads to. Each step tells on which side the neighbour stood.
// It throws where the path is longer or shorter than the place of the entry allows.
export async function walk(hash, index, size, path) {
  let at = BigInt(index);
  let last = BigInt(size) - 1n;
  if (at < 0n || at > last) throw new Error(`place ${index} is not among ${size}`);
  const steps = [];
  for (const neighbour of path) {
    if (last === 0n) throw new Error('the path is longer than the log is deep');
    const left = (at & 1n) === 1n || at === last;
    hash = left ? await nodeHash(neighbour, hash) : await nodeHash(hash, neighbour);
    steps.push({ side: left ? 'left' : 'right', neighbour, hash });
    if (left) while ((at & 1n) === 0n && at !== 0n) [at, last] = [at >> 1n, last >> 1n];
    [at, last] = [at >> 1n, last >> 1n];
  }
  if (last !== 0n) throw new Error('the path ends before the top of the log');
  return { root: hash, steps };
}

// readLeaf takes apart the bytes of a transaction's entry: version, type, height, index, two fingerprints.
export function readLeaf(bytes) {
  if (bytes.length !== 78 || bytes[0] !== 1) throw new Error('not an entry of a transaction');
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return { type: bytes[1], height: view.getBigUint64(2), index: view.getUint32(10),
    body: toHex(bytes.subarray(14, 46)), result: toHex(bytes.subarray(46, 78)) };
}

// readCheckpoint reads the three lines of a checkpoint: whose log, how many entries, which root.
export function readCheckpoint(note) {
  const [origin, size, root] = note.split('\n');
  return { origin, size: /^\d+$/.test(size ?? '') ? BigInt(size) : -1n,
    root: toHex(Uint8Array.from(atob(root ?? ''), (c) => c.charCodeAt(0))) };
}

// check computes everything anew and returns what was compared, in the order a reader follows it.
export async function check(proof, height, index) {
  const record = fromHex(proof.leaf);
  const leaf = readLeaf(record);
  const start = await leafHash(record);
  const list = [];
  const add = (ok, name, words) => list.push({ ok, name, words });
  add(leaf.height === BigInt(height) && leaf.index === Number(index), 'entry', 'The entry is the one you picked: its bytes name this block and this place in it.');
  add(toHex(start) === proof.leaf_hash, 'fingerprint', 'Its fingerprint, computed here, is the one the node named.');
  let walked = { root: new Uint8Array(), steps: [] };
  let broken = '';
  try {
    walked = await walk(start, proof.leaf_index, proof.size, proof.path.map(fromHex));
  } catch (err) {
    broken = err.message;
  }
  const root = toHex(walked.root);
  add(root === proof.root, 'root', broken ? `The path does not lead to a root: ${broken}.` : 'Joined step by step with its neighbours, it leads to the root of the whole log.');
  const cp = readCheckpoint(proof.checkpoint);
  add(cp.size === BigInt(proof.size) && cp.root === root, 'checkpoint', 'That root and size are what the checkpoint of the log states.');
  return { ok: list.every((c) => c.ok), list, leaf, start: toHex(start), steps: walked.steps, root, checkpoint: cp };
}

// Round constants and start values of SHA-256 are the fractions of roots of primes (FIPS 180-4 §4.2.2, §5.3.3).
function constants() {
  const primes = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
  const fraction = (x) => ((x - Math.floor(x)) * 2 ** 32) | 0;
  return { k: primes.map((p) => fraction(Math.cbrt(p))), h: primes.slice(0, 8).map((p) => fraction(Math.sqrt(p))) };
}

// sha256Plain is FIPS 180-4 §6.2, for short inputs.
export function sha256Plain(bytes) {
  const { k, h } = constants();
  const padded = new Uint8Array(((bytes.length + 72) >> 6) << 6);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 4, bytes.length * 8);
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  const w = new Int32Array(64);
  for (let block = 0; block < padded.length; block += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(block + 4 * i);
    for (let i = 16; i < 64; i++) {
      const s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ (w[i - 15] >>> 3);
      const s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ (w[i - 2] >>> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    const v = [...h];
    for (let i = 0; i < 64; i++) {
      const t1 = v[7] + (turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
      const t2 = (turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
      v.pop();
      v.unshift((t1 + t2) | 0);
      v[4] = (v[4] + t1) | 0;
    }
    for (let i = 0; i < 8; i++) h[i] = (h[i] + v[i]) | 0;
  }
  const out = new DataView(new ArrayBuffer(32));
  h.forEach((x, i) => out.setInt32(4 * i, x));
  return new Uint8Array(out.buffer);
}
