// What is said on every page of the disk and of copies: what is damaged, what should be erased and is not, what could not be written.

import { h } from './dom.js';
import { count, plural } from './format.js';

// certificateTrouble warns from 30 days before the end of the doors' certificate.
export function certificateTrouble(status) {
  const days = Math.floor((status.certificate_ends_ms - status.now_ms) / 86_400_000);
  if (!status.certificate_ends_ms || days >= 30) return [];
  return [note(`The certificate of this node’s doors ${days < 0 ? 'has ended' : `ends in ${plural(days, 'day')}`}: renew its files. They are read again without a restart.`)];
}

// copiesTrouble returns what is wrong, in words, or nothing.
export function copiesTrouble(copies) {
  const notes = [];
  const faults = copies?.scrub?.faults ?? [];
  if (faults.length) {
    notes.push(note(`${faults.length === 1 ? 'Something' : `${count(faults.length)} things`} on this node’s disk ${faults.length === 1 ? 'is' : 'are'} not what was written. It is never shown as true, and what needs it cannot be proven. Stop the node and run lamppost fsck: it says what follows.`,
      h('ul', null, faults.slice(0, 5).map((f) => h('li', null, h('code', null, f.where), ` ${f.what}`)), faults.length > 5 && h('li', null, `and ${count(faults.length - 5)} more`))));
  }
  if (copies?.overdue) {
    notes.push(note(`${plural(copies.overdue, 'erasure')} should be out of every file and backup by now and ${copies.overdue === 1 ? 'is' : 'are'} not. `
      + 'lamppost erase list says which backups still hold what was erased: delete them, and say so with lamppost backup forget.'));
  }
  if (copies?.snapshot?.error) notes.push(note(`The latest snapshot of the state could not be taken: ${copies.snapshot.error}.`));
  return notes;
}

const note = (words, list) => h('div', { class: 'note bad', role: 'alert' }, h('p', null, words), list);
