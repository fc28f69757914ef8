package interop_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/storage/posix"
	"github.com/transparency-dev/witness/persistence/inmemory"
	theirs "github.com/transparency-dev/witness/witness"
	"golang.org/x/mod/sumdb/note"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/internal/witness"
)

const adminToken = "0123456789abcdef0123456789abcdef"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// keys makes a log's key pair.
func keys(t testing.TB, name string) (note.Signer, note.Verifier, string) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	must(t, err)
	signer, err := note.NewSigner(skey)
	must(t, err)
	verifier, err := note.NewVerifier(vkey)
	must(t, err)
	return signer, verifier, vkey
}

// ourWitness serves a witness as `lamppost witness` does.
func ourWitness(t testing.TB, name string, logs ...witness.Log) (*witness.Witness, *httptest.Server) {
	t.Helper()
	w, err := witness.New(witness.Config{Store: kv.NewMem(), Name: name})
	must(t, err)
	for _, l := range logs {
		must(t, w.Add(l))
	}
	server := httptest.NewServer(w.Handler(adminToken))
	t.Cleanup(server.Close)
	return w, server
}

// A cosignature of ours verifies with the library of transparency-dev, one of theirs with ours, and both read the same
// time out of it; keys are spelled alike.
func TestCosignatures(t *testing.T) {
	t.Parallel()
	seed := sha256.Sum256([]byte("interop"))
	ours, err := lamppost.NewCosigner("witness.example/w1", seed[:])
	must(t, err)
	verifier, err := fnote.NewVerifierForCosignatureV1(ours.Key().String())
	must(t, err)
	if verifier.KeyHash() != ours.Key().KeyHash() || verifier.Name() != ours.Key().Name() {
		t.Errorf("they read our key as %s %08x", verifier.Name(), verifier.KeyHash())
	}
	text := "example.com/log\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\nextension\n"
	line, err := ours.Cosign(text, 1_679_315_147)
	must(t, err)
	signed, err := lamppost.SignedNote(text, line)
	must(t, err)
	n, err := note.Open(signed, note.VerifierList(verifier))
	must(t, err)
	if at, err := fnote.CoSigV1Timestamp(n.Sigs[0]); err != nil || at.Unix() != 1_679_315_147 {
		t.Errorf("they read the time as %v, %v", at, err)
	}

	skey, vkey, err := note.GenerateKey(rand.Reader, "their.example/w2")
	must(t, err)
	signer, err := fnote.NewSignerForCosignatureV1(skey)
	must(t, err)
	vkey, err = fnote.VKeyToCosignatureV1(vkey)
	must(t, err)
	key, err := lamppost.ParseWitnessKey(vkey)
	must(t, err)
	signed, err = note.Sign(&note.Note{Text: text}, signer)
	must(t, err)
	n, err = note.Open(signed, note.VerifierList(key))
	must(t, err)
	if at := lamppost.CosignatureTime(n.Sigs[0]); time.Since(time.Unix(at, 0)) > time.Minute {
		t.Errorf("we read the time as %d", at)
	}
}

// A log that Tessera keeps, with a policy that names our witness, gets its cosignature on every checkpoint it publishes:
// Tessera publishes nothing that its policy is not satisfied with.
func TestTesseraAsksOurWitness(t *testing.T) {
	t.Parallel()
	const origin = "example.com/tessera"
	signer, verifier, vkey := keys(t, origin)
	w, server := ourWitness(t, "witness.example/w1", witness.Log{Origin: origin, Keys: []string{vkey}})
	policy, err := tessera.NewWitnessGroupFromPolicy(fmt.Appendf(nil, "log %s\nwitness w1 %s %s\nquorum w1\n", vkey, w.Key(), server.URL))
	must(t, err)
	dir := t.TempDir()
	driver, err := posix.New(t.Context(), posix.Config{Path: dir})
	must(t, err)
	appender, shutdown, reader, err := tessera.NewAppender(t.Context(), driver, tessera.NewAppendOptions().WithCheckpointSigner(signer).
		WithBatching(64, 50*time.Millisecond).WithCheckpointInterval(100*time.Millisecond).
		WithWitnesses(policy, &tessera.WitnessOptions{Timeout: 20 * time.Second}))
	must(t, err)
	defer func() { must(t, shutdown(context.Background())) }()
	await := tessera.NewPublicationAwaiter(t.Context(), reader.ReadCheckpoint, 50*time.Millisecond)
	cosignature, err := fnote.NewVerifierForCosignatureV1(w.Key().String())
	must(t, err)
	var last uint64
	for batch := range 4 {
		var future tessera.IndexFuture
		for i := range 100 {
			future = appender.Add(t.Context(), tessera.NewEntry(fmt.Appendf(nil, "entry %d of batch %d", i, batch)))
		}
		_, raw, err := await.Await(t.Context(), future)
		must(t, err)
		c, _, n, err := log.ParseCheckpoint(raw, origin, verifier, cosignature)
		must(t, err)
		if len(n.Sigs) != 2 || c.Size <= last {
			t.Errorf("checkpoint of size %d after %d with signatures %v", c.Size, last, n.Sigs)
		}
		last = c.Size
		key, err := lamppost.ParseWitnessKey(w.Key().String())
		must(t, err)
		if _, err := note.Open(raw, note.VerifierList(key)); err != nil {
			t.Errorf("our own verifier refuses it: %v", err)
		}
	}
	s := w.Status().Logs[0]
	if uint64(s.Size) < last || len(s.Forks)+len(s.Unresolved) > 0 {
		t.Errorf("our witness says %+v", s)
	}
}

// Tessera's client reads a log that we publish: the checkpoint, cosigned too, every entry bundle, and proofs of inclusion
// and consistency that transparency-dev's own arithmetic verifies, at sizes around the ends of tiles and levels.
func TestTesseraReadsOurLog(t *testing.T) {
	t.Parallel()
	const origin = "harbour/north"
	signer, verifier, vkey := keys(t, origin)
	w, _ := ourWitness(t, "witness.example/w1", witness.Log{Origin: origin, Keys: []string{vkey}})
	dir := t.TempDir()
	storage, err := tilelog.OpenDir(dir)
	must(t, err)
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	p := &tilelog.Publisher{Origin: origin, Signer: signer, Verifier: verifier, Storage: storage}
	store := kv.NewMem()
	l, err := tilelog.Open(store)
	must(t, err)
	leaf := func(i uint64) []byte { return fmt.Appendf(nil, "leaf %d", i) }
	var before *log.Checkpoint
	for _, size := range []uint64{1, 255, 256, 257, 700, 65_536, 65_537 + 300} {
		var b kv.Batch
		for i := uint64(l.Size()); i < size; i++ {
			must(t, l.Append(&b, leaf(i)))
		}
		must(t, store.Apply(&b))
		l.Committed()
		signed, err := p.Publish(store)
		must(t, err)
		if before == nil {
			line, err := w.AddCheckpoint((&witness.Request{Checkpoint: signed}).Append(nil))
			must(t, err)
			must(t, p.PublishCosigned(store, append(bytes.Clone(signed), line...)))
		}
		before = readLog(t, server.URL, verifier, before, leaf)
		if before.Size != size {
			t.Fatalf("read size %d, published %d", before.Size, size)
		}
	}
}

// readLog reads the published log as a stranger and checks it against what was read before.
func readLog(t *testing.T, at string, verifier note.Verifier, before *log.Checkpoint, leaf func(uint64) []byte) *log.Checkpoint {
	t.Helper()
	ctx := t.Context()
	root, err := url.Parse(at)
	must(t, err)
	fetch, err := client.NewHTTPFetcher(root, nil)
	must(t, err)
	c, _, _, err := client.FetchCheckpoint(ctx, fetch.ReadCheckpoint, verifier, verifier.Name())
	must(t, err)
	prover, err := client.NewProofBuilder(ctx, c.Size, fetch.ReadTile)
	must(t, err)
	indexes := []uint64{0, c.Size / 3, c.Size / 2, c.Size - 1}
	for _, i := range indexes {
		bundle, err := client.GetEntryBundle(ctx, fetch.ReadEntryBundle, i/256, c.Size)
		must(t, err)
		entry := bundle.Entries[i%256]
		if !bytes.Equal(entry, leaf(i)) {
			t.Errorf("size %d: entry %d is read as %q", c.Size, i, entry)
		}
		path, err := prover.InclusionProof(ctx, i)
		must(t, err)
		must(t, proof.VerifyInclusion(rfc6962.DefaultHasher, i, c.Size, rfc6962.DefaultHasher.HashLeaf(entry), path, c.Hash))
	}
	if before != nil {
		path, err := prover.ConsistencyProof(ctx, before.Size, c.Size)
		must(t, err)
		must(t, proof.VerifyConsistency(rfc6962.DefaultHasher, before.Size, c.Size, path, before.Hash, c.Hash))
	}
	return c
}

// theirWitness serves the witness of transparency-dev, which takes every log of which it is told the key.
func theirWitness(t *testing.T, key func() note.Verifier) (vkey, at string) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, "witness.transparency.example")
	must(t, err)
	signer, err := fnote.NewSignerForCosignatureV1(skey)
	must(t, err)
	vkey, err = fnote.VKeyToCosignatureV1(vkey)
	must(t, err)
	w, err := theirs.New(t.Context(), theirs.Opts{Persistence: inmemory.New(), Signers: []note.Signer{signer},
		VerifierForLog: func(_ context.Context, origin string) (note.Verifier, bool, error) {
			v := key()
			return v, v.Name() == origin, nil
		}})
	must(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", theirs.NewHTTPHandler(w).AddCheckpoint)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return vkey, server.URL
}

// The witness of transparency-dev cosigns what our node publishes; a receipt made with that holds against a pin that names
// it; Tessera's client reads the node's log over HTTP; and a node restored from a backup heeds it.
func TestTheirWitnessCosignsOurNode(t *testing.T) {
	t.Parallel()
	cfg := node.Config{Data: t.TempDir(), Network: "house", HTTP: "127.0.0.1:0", MQTT: "off", NoFsync: true, Publish: 20 * time.Millisecond}
	run(t, cfg)() // founds the network
	pin := readPin(t, cfg.Data)
	logKey := audit.VerifierKey(pin.Network, pin.Members[0])
	verifier, err := note.NewVerifier(logKey)
	must(t, err)
	vkey, at := theirWitness(t, func() note.Verifier { return verifier })
	cfg.Witnesses = []node.Witness{{VKey: vkey, URL: at}}
	cfg.WitnessEvery = 20 * time.Millisecond

	stop := run(t, cfg)
	ask(t, cfg.Data, "POST", "/api/parties", lamppost.PartyBody{ID: "ada", Name: "Ada"}, http.StatusCreated)
	until(t, cfg.Data, func(s *api.Status) bool { return s.Log.Cosigned == 2*int64(s.Engine.Height) })
	s := status(t, cfg.Data)
	if s.Witnesses[0].Error != "" || s.Conflict != nil {
		t.Errorf("status %+v", s)
	}
	u, err := os.ReadFile(filepath.Join(cfg.Data, "node.url"))
	must(t, err)
	cosigned := fetch(t, strings.TrimSpace(string(u))+"/log/checkpoint.cosigned")
	theirKey, err := fnote.NewVerifierForCosignatureV1(vkey)
	must(t, err)
	if _, _, n, err := log.ParseCheckpoint(cosigned, "house/node1", verifier, theirKey); err != nil || len(n.Sigs) != 2 {
		t.Errorf("they read what we publish as %v, %v", n, err)
	}
	checkProof(t, cosigned, vkey, readPin(t, cfg.Data))
	root, err := url.Parse(strings.TrimSpace(string(u)) + "/log/")
	must(t, err)
	fetcher, err := client.NewHTTPFetcher(root, nil)
	must(t, err)
	c, _, _, err := client.FetchCheckpoint(t.Context(), fetcher.ReadCheckpoint, verifier, "house/node1")
	must(t, err)
	bundle, err := client.GetEntryBundle(t.Context(), fetcher.ReadEntryBundle, 0, c.Size)
	must(t, err)
	prover, err := client.NewProofBuilder(t.Context(), c.Size, fetcher.ReadTile)
	must(t, err)
	for i, entry := range bundle.Entries {
		path, err := prover.InclusionProof(t.Context(), uint64(i))
		must(t, err)
		must(t, proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(i), c.Size, rfc6962.DefaultHasher.HashLeaf(entry), path, c.Hash))
	}
	stop()

	backup := cfg
	backup.Data = t.TempDir()
	must(t, os.CopyFS(backup.Data, os.DirFS(cfg.Data)))
	stop = run(t, cfg)
	ask(t, cfg.Data, "POST", "/api/parties", lamppost.PartyBody{ID: "tom", Name: "Tom"}, http.StatusCreated)
	until(t, cfg.Data, func(s *api.Status) bool { return s.Engine.Height == 3 && s.Log.Cosigned == 6 })
	stop()
	stop = run(t, backup)
	until(t, backup.Data, func(s *api.Status) bool { return s.Conflict != nil })
	if c := status(t, backup.Data).Conflict; !strings.Contains(c.Text, "cosigned size 6") || !strings.Contains(c.Text, "their word only") {
		t.Errorf("the conflict is %+v", c)
	}
	ask(t, backup.Data, "POST", "/api/parties", lamppost.PartyBody{ID: "eve", Name: "Eve"}, http.StatusConflict)
	stop()
}

// checkProof holds a checkpoint that their witness cosigned against the pin, as every file's proof is: a proof of the
// founding alone.
func checkProof(t *testing.T, cosigned []byte, vkey string, pin *audit.Pin) {
	t.Helper()
	if len(pin.Witnesses) != 1 || pin.Witnesses[0] != vkey || pin.WitnessQuorum != 1 {
		t.Fatalf("the node's pin is\n%s", pin)
	}
	p := &lamppost.Proof{Network: pin.Network, Checkpoints: []string{string(cosigned)}, Witnesses: []string{vkey}}
	e, err := audit.CheckProof(p, pin)
	must(t, err)
	if len(e.Cosigned) != 1 || !e.Cosigned[0].Pinned || e.Cosigned[0].Witness != "witness.transparency.example" {
		t.Errorf("cosigned by %+v", e.Cosigned)
	}
	bare := *p
	own, _, _ := bytes.Cut(cosigned, []byte("— witness.transparency.example"))
	bare.Checkpoints, bare.Witnesses = []string{string(own)}, nil
	if _, err := audit.CheckProof(&bare, pin); err == nil || !strings.Contains(err.Error(), "none of the pin's witnesses") {
		t.Errorf("without their line: %v", err)
	}
}

// run starts a node and returns what stops it.
func run(t *testing.T, cfg node.Config) (stop func()) {
	t.Helper()
	n, err := node.Open(cfg)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(cancel)
	return func() {
		cancel()
		must(t, <-ended)
	}
}

func readPin(t *testing.T, dir string) *audit.Pin {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "network.pin"))
	must(t, err)
	pin, err := audit.ParsePin(string(text))
	must(t, err)
	return pin
}

// ask asks a node as its administrator.
func ask(t *testing.T, dir, method, path string, body any, want int) []byte {
	t.Helper()
	at, err := os.ReadFile(filepath.Join(dir, "node.url"))
	must(t, err)
	secret, err := os.ReadFile(filepath.Join(dir, "admin.token"))
	must(t, err)
	text, err := json.Marshal(body)
	must(t, err)
	req, err := http.NewRequest(method, strings.TrimSpace(string(at))+path, bytes.NewReader(text))
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(secret)))
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	must(t, errors.Join(err))
	if res.StatusCode != want {
		t.Fatalf("%s %s: %d %s", method, path, res.StatusCode, answer)
	}
	return answer
}

func status(t *testing.T, dir string) (s api.Status) {
	t.Helper()
	must(t, json.Unmarshal(ask(t, dir, "GET", "/api/status", nil, http.StatusOK), &s))
	return s
}

func until(t *testing.T, dir string, ok func(*api.Status) bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		s := status(t, dir)
		if ok(&s) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the status stays %+v", s)
		}
	}
}

func fetch(t *testing.T, at string) []byte {
	t.Helper()
	res, err := http.Get(at)
	must(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(t, err)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", at, res.Status)
	}
	return body
}
