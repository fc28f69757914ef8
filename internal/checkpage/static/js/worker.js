// Asking the engine, from the page: one question after the other, each answered by a promise.

import { h } from './dom.js';

// startEngine returns ask(call, …args). The page's policy lets a worker come from the page's own text only.
export function startEngine() {
  const policy = globalThis.trustedTypes?.createPolicy('lamppost', { createScriptURL: (url) => (url.startsWith('blob:') ? url : '') });
  const code = document.getElementById('engine').textContent;
  const url = URL.createObjectURL(new Blob([code], { type: 'text/javascript' }));
  const waiting = new Map();
  let last = 0;
  let worker = null;
  let here = null; // the engine in the page itself, where no worker starts

  try {
    worker = new Worker(policy ? policy.createScriptURL(url) : url);
    worker.onmessage = ({ data: { id, value, error } }) => {
      const { done, failed } = waiting.get(id);
      waiting.delete(id);
      if (error === undefined) done(value);
      else failed(new Error(error));
    };
    worker.onerror = () => {
      worker = null;
      for (const [id, q] of waiting) {
        waiting.delete(id);
        ask(q.call, ...q.args).then(q.done, q.failed);
      }
    };
  } catch {
    worker = null;
  }

  function ask(call, ...args) {
    if (!worker) {
      here ??= globalThis.lamppostEngine();
      return new Promise((done) => { setTimeout(done, 20); }).then(() => here[call](...args)); // shows first what is being done
    }
    return new Promise((done, failed) => {
      const id = ++last;
      waiting.set(id, { call, args, done, failed });
      worker.postMessage({ id, call, args });
    });
  }
  return ask;
}

// filePicker is a button that opens the browser's dialogue for a file. The input itself stays in the order of Tab.
export function filePicker(id, label, accept, take) {
  const input = h('input', { type: 'file', id, class: 'file-input', accept, onchange: () => {
    if (input.files[0]) take(input.files[0]);
    input.value = '';
  } });
  return h('span', { class: 'file' }, input, h('label', { for: id, class: 'button' }, label));
}
