// The engine: unpacks the checker, which is package audit compiled to WebAssembly, and asks it. This file stands behind
// Go's wasm_exec.js and runs in a worker; where a browser allows a page none, it runs in the page itself.
globalThis.lamppostEngine = () => {
  const bytesOf = (base64) => {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
    const raw = atob(base64);
    const bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    return bytes;
  };
  const unpack = (base64) => new Blob([bytesOf(base64)]).stream().pipeThrough(new DecompressionStream('gzip'));

  return {
    // load starts the checker and lets it test itself; it returns how long that took, in ms.
    async load(wasm) {
      const began = performance.now();
      const go = new Go();
      const { instance } = await WebAssembly.instantiateStreaming(new Response(unpack(wasm), { headers: { 'Content-Type': 'application/wasm' } }), go.importObject);
      go.run(instance); // until the page is closed
      const wrong = globalThis.lamppost.selfTest();
      if (wrong) throw new Error(`the checker does not work in this browser: ${wrong}`);
      return performance.now() - began;
    },
    unpack: async (base64) => new Uint8Array(await new Response(unpack(base64)).arrayBuffer()),
    readPin: (text) => JSON.parse(globalThis.lamppost.readPin(text)),
    check(file, pin) {
      const began = performance.now();
      const answer = JSON.parse(globalThis.lamppost.check(file, pin));
      return { ...answer, ms: performance.now() - began };
    },
  };
};
if (typeof WorkerGlobalScope !== 'undefined') {
  const engine = globalThis.lamppostEngine();
  onmessage = async ({ data: { id, call, args } }) => {
    try {
      postMessage({ id, value: await engine[call](...args) });
    } catch (err) {
      postMessage({ id, error: err.message });
    }
  };
}
