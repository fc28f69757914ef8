package node_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus/consensustest"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/network"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/sig"
)

// A seat is a member's folder and its card.
type seat struct {
	dir  string
	card network.Member
	key  *sig.PrivateKey
	door func(*node.Config) // nil: on loopback
	now  func() time.Time   // nil: the tests' clock
}

func newSeat(t testing.TB, id lamppost.MemberID) seat {
	t.Helper()
	s := seat{dir: t.TempDir(), card: network.Member{ID: id, Org: "coop", Address: consensustest.FreeAddress(t)}}
	seed, err := folder.Secret(s.dir, folder.MemberKey, sig.SeedSize)
	must(t, err)
	s.key, err = sig.NewPrivateKey(sig.EdDSA, seed)
	must(t, err)
	s.card.Key = base64.StdEncoding.EncodeToString(s.key.Public().Bytes())
	must(t, os.WriteFile(filepath.Join(s.dir, folder.Card), s.card.Bytes(), 0o600))
	return s
}

// founded makes the folders of so many members, and one of who may join them.
func founded(t testing.TB, engine string, n int) (seats []seat) {
	at, now := begin, (func() time.Time)(nil)
	if engine == "comet" { // its clock is the machine's
		at, now = time.Now(), time.Now
	}
	seats = foundedAt(t, engine, n, at, nil)
	for i := range seats {
		seats[i].now = now
	}
	return seats
}

// foundedAt says when, and door where the others find a member's HTTP door.
func foundedAt(t testing.TB, engine string, n int, at time.Time, door func(i int) string) (seats []seat) {
	t.Helper()
	for i := range n + 1 {
		seats = append(seats, newSeat(t, lamppost.MemberID(fmt.Sprint("m", i+1))))
		if door != nil {
			seats[i].card.URL = door(i)
		}
	}
	found(t, seats, network.File{Network: "house", Engine: engine, Verify: "full"}, at)
	return seats
}

// found makes a network of all seats but the last.
func found(t testing.TB, seats []seat, f network.File, at time.Time) {
	t.Helper()
	for _, s := range seats[:len(seats)-1] {
		f.Members = append(f.Members, s.card)
	}
	must(t, f.Found(seats[0].key, at))
	for _, s := range seats {
		must(t, os.WriteFile(filepath.Join(s.dir, folder.Network), f.Bytes(), 0o600))
	}
}

// A member runs, and is opened again when a state comes.
type member struct {
	t   testing.TB
	cfg node.Config

	mu    sync.Mutex
	at    *lamp
	again int

	stop func()
}

func (s seat) run(t testing.TB, forget time.Duration) *member {
	t.Helper()
	return s.runWith(t, func(c *node.Config) {
		c.MQTT, c.Keep, c.ForgetEvery, c.NoFsync = "off", 50*time.Millisecond, forget, false
	})
}

func (s seat) runWith(t testing.TB, change func(*node.Config)) *member {
	t.Helper()
	m := &member{t: t, cfg: config(s.dir)}
	if s.now != nil {
		m.cfg.Now = s.now
	}
	change(&m.cfg)
	if s.door != nil {
		s.door(&m.cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n, err := node.Open(m.cfg)
	must(t, err)
	m.opened(n)
	ended := make(chan error, 1)
	go func() {
		for {
			err := n.Run(ctx)
			if !errors.Is(err, node.ErrArrived) || ctx.Err() != nil {
				ended <- err
				return
			}
			if n, err = node.Open(m.cfg); err != nil {
				ended <- err
				return
			}
			m.opened(n)
		}
	}()
	m.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", s.card.ID, err)
		}
	})
	t.Cleanup(m.stop)
	return m
}

func (m *member) opened(n *node.Node) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at != nil {
		m.again++
	}
	m.at = &lamp{Node: n, t: m.t, dir: m.cfg.Data, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}}
}

func (m *member) lamp() *lamp {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

// reopened counts the states that came.
func (m *member) reopened() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.again
}

// ordered orders at a member, which may have to wait until the members have found each other.
func (m *member) ordered(typ lamppost.TxType, body any) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := m.lamp().Order(ctx, typ, body); err != nil {
		m.t.Fatalf("ordering %v: %v", body, err)
	}
}

// Goal: no member says that something was erased while a file of its folder, the engine's too, holds it. Then one that joins and can
// have no block of the beginning any more gets the state instead, publishes from there on the same log, and one that was
// away meanwhile too; their copies fit.
func TestMembersForgetAndCatchUp(t *testing.T) {
	t.Parallel()
	t.Run("raft", func(t *testing.T) { forgetAndCatchUp(t, "raft", 3, 400*time.Millisecond) })
	t.Run("comet", func(t *testing.T) { forgetAndCatchUp(t, "comet", 4, 2*time.Second) })
}

func forgetAndCatchUp(t *testing.T, engine string, size int, forget time.Duration) {
	t.Parallel()
	seats := founded(t, engine, size)
	var all []*member
	for _, s := range seats[:size] {
		all = append(all, s.run(t, forget))
	}
	all[0].ordered(lamppost.TxParty, lamppost.PartyBody{ID: "ada", Name: "Ada"})
	l := all[0].lamp()
	hers := l.announce("hers")
	l.enrol(hers)
	var secrets [][]byte
	found := func(dir string) (n int) {
		files := everything(t, dir)
		for _, s := range secrets {
			n += bytes.Count(files, s)
		}
		return n
	}
	seen := false
	for range 20 {
		raw := hers.report(t, func(r *lamppost.Report) {
			if seats[0].now != nil {
				r.Readings[0].Time = lamppost.TimeMS(seats[0].now().UnixMilli())
			}
		})
		secrets = append(secrets, raw[len(raw)-64:]) // the signature: nothing compresses it
		eventually(t, "a report is taken", func() bool {
			got := l.post(hers, raw)
			return got.Code == "ok" || got.Code == "duplicate" // it was not committed in time, on a busy machine
		})
		seen = seen || found(filepath.Join(l.dir, engine)) > 0
	}
	if !seen {
		t.Fatal("no report was ever found in the engine's files: the search is not worth much")
	}
	all[0].ordered(lamppost.TxErase, lamppost.EraseBody{Device: "hers", Basis: "GDPR Art. 17(1)(b)"})
	said := map[lamppost.MemberID]bool{}
	eventually(t, "all have attested", func() bool {
		k := l.keeping()
		for i, s := range seats[:size] {
			if len(k.Erasures) == 1 && k.Erasures[0].Attested[s.card.ID] > 0 && !said[s.card.ID] {
				said[s.card.ID] = true
				if n := found(seats[i].dir); n > 0 {
					t.Errorf("%s has attested, and %d signatures of erased reports are in its files", s.card.ID, n)
				}
			}
		}
		return len(said) == size
	})

	away := size - 1
	all[away].stop()
	for i := range 40 {
		all[0].ordered(lamppost.TxParty, lamppost.PartyBody{ID: lamppost.PartyID(fmt.Sprint("p", i)), Name: strings.Repeat("x", 60)})
	}
	height := l.Height()
	eventually(t, "the log's files have forgotten that", func() bool { return l.Forgotten() && all[1].lamp().Forgotten() })
	all[away] = seats[away].run(t, forget)
	late := seats[size].run(t, forget)
	card, err := seats[size].card.Ledger()
	must(t, err)
	want := lamppost.NetworkBody{After: 1, Rules: 1, Members: append(l.Members(), card)}
	for _, m := range all[:away] { // at least as many as must agree
		m.ordered(lamppost.TxNetwork, want)
	}
	eventually(t, "both have caught up", func() bool { return late.lamp().Height() > height && all[away].lamp().Height() > height })
	for _, m := range []*member{late, all[away]} {
		if m.reopened() == 0 {
			t.Errorf("%s was given every block, though they were to be forgotten", m.lamp().dir)
		}
	}
	eventually(t, "the late one takes orders", func() bool {
		_, err := late.lamp().Order(t.Context(), lamppost.TxParty, lamppost.PartyBody{ID: "zoe", Name: "Zoe"})
		return err == nil
	})
	all = append(all, late)
	eventually(t, "all publish the same log", func() bool {
		roots := map[lamppost.Hash]bool{}
		for _, m := range all {
			_, c, _, err := m.lamp().Checkpoint()
			if err != nil {
				return false
			}
			roots[c.Root] = true
		}
		return len(roots) == 1
	})
	for i, m := range all {
		m.stop()
		if got := checked(t, seats[i].dir); len(got.Faults) > 0 {
			t.Errorf("%s: %+v", seats[i].card.ID, got.Faults)
		}
	}
}

// A state that arrived and was damaged since is not taken over, and stops nobody for good.
func TestDamagedArrival(t *testing.T) {
	t.Parallel()
	s := founded(t, "raft", 3)[0]
	path := filepath.Join(s.dir, folder.Arrived)
	must(t, os.WriteFile(path, []byte("LPR1 and nothing more"), 0o600))
	cfg := config(s.dir)
	cfg.MQTT = "off"
	if _, err := node.Open(cfg); err == nil || !strings.Contains(err.Error(), "Remove it, and the others send it again") {
		t.Fatalf("Open = %v", err)
	}
	must(t, os.Remove(path))
	s.run(t, time.Hour).stop()
}
