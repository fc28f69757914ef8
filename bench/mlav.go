package main

import (
	"crypto/rand"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"github.com/lamppost/lamppost/bench/mlav"
)

const (
	messageBytes = 200 // as "lamppost bench verify"
	fewKeys      = 16
	leastRepeats = 3

	// sampleTime is the least that one repetition takes: the clock of CPU time counts microseconds.
	sampleTime = 2 * time.Millisecond
)

// measureMLAV measures signatures one by one and in batches, of many signers and of few, on one core.
func measureMLAV(atLeast time.Duration, sizes []int) (*result, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	authority, err := mlav.NewAuthority(rand.Reader)
	if err != nil {
		return nil, err
	}
	p := authority.Params()
	single := func(items []mlav.Item) bool {
		ok := true
		for _, it := range items {
			ok = p.Verify(it) && ok
		}
		return ok
	}
	batch := func(items []mlav.Item) bool {
		ok, err := p.VerifyBatch(rand.Reader, items)
		return ok && err == nil
	}
	res := &result{MessageBytes: messageBytes, Cores: 1}
	add := func(mode string, n, keys int, check func([]mlav.Item) bool) error {
		r := row{Suite: "id-based-bls12381", Mode: mode, N: n, Keys: keys, BytesPerSig: mlav.SignatureSize}
		var err error
		if r.USPerSig, err = cost(authority, r, atLeast, check); err != nil {
			return fmt.Errorf("measuring %s of %d: %w", mode, n, err)
		}
		res.Rows = append(res.Rows, r)
		return nil
	}
	for _, n := range sizes {
		if err := add("single", n, n, single); err != nil {
			return nil, err
		}
	}
	for _, n := range sizes {
		if err := add("batch", n, n, batch); err != nil {
			return nil, err
		}
		if n <= fewKeys {
			continue
		}
		if err := add("batch", n, fewKeys, batch); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// cost returns the microseconds that a signature takes. One that is forged has to be found first, or what is measured
// would not be a check.
func cost(a *mlav.Authority, r row, atLeast time.Duration, check func([]mlav.Item) bool) (float64, error) {
	items, err := signedBy(a, r.N, r.Keys)
	if err != nil {
		return 0, err
	}
	honest := items[r.N-1].Msg
	items[r.N-1].Msg = []byte("another message")
	if check(items) {
		return 0, fmt.Errorf("a forgery is valid")
	}
	items[r.N-1].Msg = honest
	seconds, err := best(atLeast, func() bool { return check(items) })
	return seconds * 1e6 / float64(r.N), err
}

// signedBy returns n signed messages by so many signers in turn.
func signedBy(a *mlav.Authority, n, signers int) ([]mlav.Item, error) {
	keys := make([]*mlav.Key, signers)
	for i := range keys {
		var err error
		if keys[i], err = a.Extract(fmt.Sprintf("lamp-%d", i)); err != nil {
			return nil, err
		}
	}
	items := make([]mlav.Item, n)
	for i := range items {
		key := keys[i%signers]
		msg := make([]byte, messageBytes)
		copy(msg, fmt.Sprintf("report %d", i))
		sig, err := key.Sign(rand.Reader, msg)
		if err != nil {
			return nil, err
		}
		items[i] = mlav.Item{Identity: key.Identity(), Msg: msg, Sig: sig}
	}
	return items, nil
}

// best repeats f for at least the time given and returns the least CPU time of a call, in seconds. Other work on the
// machine disturbs the least value least.
func best(atLeast time.Duration, f func() bool) (float64, error) {
	least, calls, start := 0.0, 1, time.Now()
	for n := 0; n < leastRepeats || time.Since(start) < atLeast; n++ {
		before := cpuTime()
		for range calls {
			if !f() {
				return 0, fmt.Errorf("an honest signature is refused")
			}
		}
		took := cpuTime() - before
		if took < sampleTime { // too short for the clock: start again with more calls
			calls, least, n = calls*2, 0, -1
			continue
		}
		if each := took.Seconds() / float64(calls); least == 0 || each < least {
			least = each
		}
	}
	return least, nil
}

// cpuTime is what this process has used, in its own code and the kernel's.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(fmt.Sprintf("reading the CPU time: %v", err)) // the arguments are constants
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
