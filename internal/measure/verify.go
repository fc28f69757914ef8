package measure

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/lamppost/lamppost/sig"
)

// VerifyOptions says how long to measure what.
type VerifyOptions struct {
	For   time.Duration // for each row
	Sizes []int         // signatures in a batch, the largest last; 64, 256, 1,024, 4,096 if empty

	Progress func(done, all int64, what string)
}

// A VerifyRow is the cost of checking signatures in one way, on one core.
type VerifyRow struct {
	Suite string `json:"suite"` // or "mixed": of 10 reports 7 es256, 2 hmac-sha256, 1 ed25519
	Mode  string `json:"mode"`  // "std": the standard library one by one; "single": sig one by one; "first": with new keys; "batch", "halfagg"
	N     int    `json:"n"`     // signatures checked
	Keys  int    `json:"keys"`  // different keys that made them
	Bad   int    `json:"bad"`   // forged ones among them

	USPerSig    float64 `json:"us_per_sig"`    // microseconds of CPU time, of the best repetition
	BytesPerSig float64 `json:"bytes_per_sig"` // what is stored of a signature
}

// VerifyResult is what [Verify] has measured.
type VerifyResult struct {
	Rows         []VerifyRow `json:"rows"`
	MessageBytes int         `json:"message_bytes"`
	Cores        int         `json:"cores"`
}

const (
	verifyMessageBytes = 200
	verifyFewKeys      = 16
	verifySingles      = 64  // signatures of the rows that check one by one
	verifyFirst        = 256 // at least verifySample of them, since their keys are new only once
	verifyFleet        = 1000

	// verifySample is the least that one repetition takes: the clock of CPU time counts microseconds.
	verifySample = 2 * time.Millisecond

	// verifyRepeats is the fewest repetitions that a row's best is taken of.
	verifyRepeats = 3
)

// A verifyCase is a row to be measured. check checks all its n signatures and reports whether the answer is right.
type verifyCase struct {
	row     VerifyRow
	check   func() bool
	prepare func() // before each check, not measured; or nil
}

// Verify measures what checking signatures costs, on one core whatever the machine has. Each row is the best of many
// repetitions by CPU time, which other work on the machine disturbs least. Signing is not measured.
func Verify(ctx context.Context, o VerifyOptions) (*VerifyResult, error) {
	if len(o.Sizes) == 0 {
		o.Sizes = []int{64, 256, 1024, 4096}
	}
	for _, n := range o.Sizes {
		if n < 1 || n > sig.MaxAggregate {
			return nil, fmt.Errorf("measuring batches of %d signatures: want 1 to %d", n, sig.MaxAggregate)
		}
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	plan := verifyPlan(o.Sizes)
	res := &VerifyResult{MessageBytes: verifyMessageBytes, Cores: 1}
	for i, prepare := range plan {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c, err := prepare()
		if err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(int64(i), int64(len(plan)), c.row.Suite+" "+c.row.Mode)
		}
		if c.row.USPerSig, err = c.best(o.For); err != nil {
			return nil, err
		}
		res.Rows = append(res.Rows, c.row)
	}
	return res, nil
}

// verifyPlan lists the rows. Each is made when its turn comes, so that only one's signatures are in memory.
func verifyPlan(sizes []int) []func() (*verifyCase, error) {
	var plan []func() (*verifyCase, error)
	add := func(row VerifyRow, of func(VerifyRow, []sig.Item) (*verifyCase, error)) {
		plan = append(plan, func() (*verifyCase, error) {
			items, err := signedItems(row)
			if err != nil {
				return nil, err
			}
			return of(row, items)
		})
	}
	for _, suite := range []string{"ed25519", "es256", "hmac-sha256"} {
		if suite != "hmac-sha256" {
			add(VerifyRow{Suite: suite, Mode: "std", N: verifySingles, Keys: verifySingles}, stdCase)
		}
		add(VerifyRow{Suite: suite, Mode: "single", N: verifySingles, Keys: verifySingles}, singleCase)
	}
	add(VerifyRow{Suite: "es256", Mode: "first", N: verifyFirst, Keys: verifyFirst}, firstCase)
	for _, suite := range []string{"es256", "ed25519"} {
		for _, n := range sizes {
			for _, keys := range []int{n, min(n, verifyFewKeys)} {
				add(VerifyRow{Suite: suite, Mode: "batch", N: n, Keys: keys}, batchCase)
			}
		}
	}
	for _, n := range sizes {
		for _, keys := range []int{n, min(n, verifyFewKeys)} {
			add(VerifyRow{Suite: "ed25519", Mode: "halfagg", N: n, Keys: keys}, halfaggCase)
		}
	}
	most := sizes[len(sizes)-1]
	for _, keys := range []int{most, min(most, verifyFewKeys)} {
		add(VerifyRow{Suite: "ed25519", Mode: "batch", N: most, Keys: keys, Bad: 1}, batchCase)
	}
	add(VerifyRow{Suite: "ed25519", Mode: "batch", N: most, Keys: most, Bad: most}, batchCase)
	fleet := VerifyRow{Suite: "mixed", N: verifyFleet, Keys: verifyFleet}
	for _, mode := range []struct {
		name string
		of   func(VerifyRow, []sig.Item) (*verifyCase, error)
	}{{"std", stdCase}, {"single", singleCase}, {"batch", batchCase}} {
		fleet.Mode = mode.name
		add(fleet, mode.of)
	}
	return plan
}

// best repeats the check for the time given and returns the least CPU time of a signature in microseconds.
func (c *verifyCase) best(atLeast time.Duration) (float64, error) {
	least, rounds := 0.0, 1
	start := time.Now()
	for n := 0; n < verifyRepeats || time.Since(start) < atLeast; n++ {
		took := 0.0
		for range rounds {
			if c.prepare != nil {
				c.prepare()
			}
			before := cpuSeconds()
			if !c.check() {
				return 0, fmt.Errorf("measuring %s %s: a verdict is wrong", c.row.Suite, c.row.Mode)
			}
			took += cpuSeconds() - before
		}
		if took < verifySample.Seconds() {
			rounds *= 2
			n--
			continue
		}
		if us := took * 1e6 / float64(rounds*c.row.N); least == 0 || us < least {
			least = us
		}
	}
	return least, nil
}

func singleCase(row VerifyRow, items []sig.Item) (*verifyCase, error) {
	row.BytesPerSig = signatureBytes(items)
	return &verifyCase{row: row, check: func() bool {
		for i := range items {
			if !items[i].Key.Verify(items[i].Msg, items[i].Sig) {
				return false
			}
		}
		return true
	}}, nil
}

// firstCase is singleCase with keys that are new to sig each time: it makes tables for those it sees more often.
func firstCase(row VerifyRow, items []sig.Item) (*verifyCase, error) {
	c, err := singleCase(row, items)
	c.prepare = func() {
		for i := range items {
			if key, err := sig.ParsePublicKey(items[i].Key.Suite(), items[i].Key.Bytes()); err == nil { // as it was parsed before
				items[i].Key = key
			}
		}
	}
	return c, err
}

func batchCase(row VerifyRow, items []sig.Item) (*verifyCase, error) {
	row.BytesPerSig = signatureBytes(items)
	for i := range row.Bad {
		forged := &items[(i+1)*row.N/(row.Bad+1)]
		forged.Sig[40] ^= 1 // s, so that only the equation can tell
	}
	v, ok := new(sig.Verifier), make([]bool, len(items))
	return &verifyCase{row: row, check: func() bool { return v.Verify(items, ok) == row.N-row.Bad }}, nil
}

func halfaggCase(row VerifyRow, items []sig.Item) (*verifyCase, error) {
	v := new(sig.Verifier)
	aggregate, err := v.Aggregate(sig.Cold, items)
	if err != nil {
		return nil, err
	}
	signed := make([]sig.Signed, len(items))
	for i, item := range items {
		signed[i] = sig.Signed{Key: item.Key, Msg: item.Msg}
	}
	row.BytesPerSig = float64(len(aggregate)) / float64(row.N)
	return &verifyCase{row: row, check: func() bool { return v.VerifyAggregate(signed, aggregate) }}, nil
}

// stdCase is the yardstick: what a program without this package would do.
func stdCase(row VerifyRow, items []sig.Item) (*verifyCase, error) {
	row.BytesPerSig = signatureBytes(items)
	checks := make([]func() bool, len(items))
	for i, item := range items {
		switch item.Key.Suite() {
		case sig.EdDSA:
			public := ed25519.PublicKey(item.Key.Bytes())
			checks[i] = func() bool { return ed25519.Verify(public, item.Msg, item.Sig) }
		case sig.ES256:
			public, err := p256(item.Key.Bytes())
			if err != nil {
				return nil, err
			}
			checks[i] = func() bool {
				digest := sha256.Sum256(item.Msg)
				r, s := new(big.Int).SetBytes(item.Sig[:32]), new(big.Int).SetBytes(item.Sig[32:])
				return ecdsa.Verify(public, digest[:], r, s)
			}
		default:
			checks[i] = func() bool { return item.Key.Verify(item.Msg, item.Sig) } // is the standard library's already
		}
	}
	return &verifyCase{row: row, check: func() bool {
		for _, check := range checks {
			if !check() {
				return false
			}
		}
		return true
	}}, nil
}

// p256 reads the compressed point of a key as crypto/ecdsa wants it.
func p256(compressed []byte) (*ecdsa.PublicKey, error) {
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), compressed)
	if x == nil {
		return nil, fmt.Errorf("reading p-256 key %x: no point", compressed)
	}
	full := append([]byte{4}, x.FillBytes(make([]byte, 32))...)
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(full, y.FillBytes(make([]byte, 32))...))
}

func signatureBytes(items []sig.Item) float64 {
	sum := 0
	for _, item := range items {
		sum += len(item.Sig)
	}
	return float64(sum) / float64(len(items))
}

// signedItems makes the row's signatures, always the same ones. Keys take turns.
func signedItems(row VerifyRow) ([]sig.Item, error) {
	random := rand.NewChaCha8([32]byte([]byte("lamppost bench verify: test keys")))
	keys := make([]*sig.PrivateKey, row.Keys)
	for i := range keys {
		suite, err := suiteOf(row.Suite, i)
		if err != nil {
			return nil, err
		}
		if keys[i], err = sig.GenerateKey(suite, random); err != nil {
			return nil, err
		}
	}
	items := make([]sig.Item, row.N)
	for i := range items {
		key := keys[i%len(keys)]
		msg := make([]byte, verifyMessageBytes)
		binary.BigEndian.PutUint64(msg, uint64(i))
		signature, err := key.Sign(msg)
		if err != nil {
			return nil, err
		}
		items[i] = sig.Item{Key: key.Public(), Msg: msg, Sig: signature}
	}
	return items, nil
}

// suiteOf returns the suite of the i-th key. In the mixed fleet 70% are es256, which secure elements speak, 20% are vouched
// for by a gateway, and 10% sign with ed25519.
func suiteOf(name string, i int) (sig.Suite, error) {
	if name != "mixed" {
		return sig.ParseSuite(name)
	}
	switch i % 10 {
	case 0:
		return sig.EdDSA, nil
	case 1, 2:
		return sig.HMAC256, nil
	}
	return sig.ES256, nil
}
