package node_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/node"
)

// alone runs a node by itself, in which a device reported once, and stops it.
func alone(t *testing.T) (dir string, m *machine) {
	t.Helper()
	l := light(t)
	l.order("/api/parties", map[string]string{"id": "ada", "name": "Ada"}, nil)
	m = l.announce("meter")
	l.enrol(m)
	if got := l.post(m, m.report(t, nil)); got.Code != "ok" {
		t.Fatalf("the report is %+v", got)
	}
	l.stop()
	return l.dir, m
}

func turning(dir, address string) node.TurnConfig {
	return node.TurnConfig{Data: dir, Org: "coop", Address: address, Trust: [][]string{{"coop", "utility"}},
		Now: func() time.Time { return begin.Add(time.Minute) }}
}

// turnOf turns a folder, up to a step; empty: all. It reports whether that step came.
func turnOf(t *testing.T, cfg node.TurnConfig, before string) (came bool) {
	t.Helper()
	crash := errors.New("the process ends here")
	turn, err := node.OpenTurn(cfg.Interrupted(func(step string) error {
		if step == before {
			return crash
		}
		return nil
	}))
	if errors.Is(err, crash) {
		return true
	}
	must(t, err)
	err = turn.Commit()
	if err != nil && !errors.Is(err, crash) {
		t.Fatal(err)
	}
	must(t, turn.Crash())
	return err != nil
}

// again is the report that a device sent last.
func again(t *testing.T, m *machine) []byte {
	m.n--
	return m.report(t, nil)
}

// turnedParts lists what a turn puts into a folder, and what it leaves there when it is cut short.
func turnedParts(dir string) (have []string) {
	for _, name := range []string{folder.Network, folder.Raft, folder.Turning, folder.Turning + ".new"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			have = append(have, name)
		}
	}
	return have
}

// Wherever a turn is cut short, the next start has the node as it was or one that has turned whole, with the same network, member, device and
// reports; and a turn after that leaves one that has turned. What the device was acknowledged it may send again: it counts once.
func TestTurnCutShort(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		before string
		turned bool
		also   func(t *testing.T, dir string) // more that the crash did
	}{
		{"copying", false, nil},
		{"making the log", false, nil},
		{"writing the file", false, nil},
		{"making it durable", false, nil},
		{"making its name durable", false, nil},
		{"committing", false, nil},
		{"putting it in its place", true, nil},
		{"putting it in its place", true, func(t *testing.T, dir string) { // between the two renames
			must(t, os.Rename(filepath.Join(dir, folder.Turning, folder.Network), filepath.Join(dir, folder.Network)))
		}},
		{"putting it in its place", true, func(t *testing.T, dir string) { // after both
			must(t, os.Rename(filepath.Join(dir, folder.Turning, folder.Network), filepath.Join(dir, folder.Network)))
			must(t, os.Rename(filepath.Join(dir, folder.Turning, folder.Raft), filepath.Join(dir, folder.Raft)))
		}},
		{"", true, nil},
	} {
		t.Run(c.before, func(t *testing.T) {
			t.Parallel()
			dir, m := alone(t)
			address := newSeat(t, "none").card.Address
			if came := turnOf(t, turning(dir, address), c.before); came != (c.before != "") {
				t.Fatalf("the turn ended before %q: %v", c.before, came)
			}
			if c.also != nil {
				c.also(t, dir)
			}
			goesOn(t, dir, m, c.turned)
			turnOf(t, turning(dir, address), "")
			goesOn(t, dir, m, true)
			if got := checked(t, dir); len(got.Faults) > 0 {
				t.Errorf("%+v", got.Faults)
			}
		})
	}
}

// goesOn starts the node and stops it: it has what it had, and takes more.
func goesOn(t *testing.T, dir string, m *machine, turned bool) {
	t.Helper()
	cfg := config(dir)
	l := run(t, cfg)
	defer l.stop()
	want := []string(nil)
	if turned {
		want = []string{folder.Network, folder.Raft}
	}
	if have := turnedParts(dir); !slices.Equal(have, want) {
		t.Errorf("beside what was there stand %v, want %v", have, want)
	}
	if engine := l.status().Engine.Engine; (engine == "raft") != turned {
		t.Errorf("the engine is %s", engine)
	}
	if id := l.Members()[0].ID; l.Network() != "house" || id != "node1" {
		t.Errorf("it is member %s of %s", id, l.Network())
	}
	if got := l.post(m, again(t, m)); got.Code != "duplicate" {
		t.Errorf("a report that was acknowledged is %+v", got)
	}
	eventually(t, "a report is taken", func() bool {
		got := l.post(m, m.report(t, nil))
		return got.Code == "ok"
	})
}

// A rehearsal leaves the folder as it was; what cannot turn is told why, and what has turned that there is nothing to do.
func TestTurnRefused(t *testing.T) {
	t.Parallel()
	dir, m := alone(t)
	cfg := turning(dir, "127.0.0.1:7650")
	refused := func(what, want string, cfg node.TurnConfig) {
		t.Helper()
		turn, err := node.OpenTurn(cfg)
		if err == nil {
			must(t, turn.Close())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
		if have := turnedParts(dir); len(have) > 1 || len(have) == 1 && have[0] != folder.Turning+".new" {
			t.Errorf("%s: %v stand there", what, have)
		}
	}
	turn, err := node.OpenTurn(cfg)
	must(t, err)
	if turn.Done || turn.Network != "house" || turn.Member.ID != "node1" {
		t.Errorf("the rehearsal says %+v", turn)
	}
	refused("a turn meanwhile", "in use", cfg)
	must(t, turn.Close())
	if have := turnedParts(dir); have != nil {
		t.Errorf("after a rehearsal stand %v", have)
	}
	l := run(t, config(dir))
	refused("the node runs", "in use", cfg)
	if status, answer := l.ask("POST", "/api/network", lamppost.NetworkBody{After: 1, Members: l.Members(), Rules: 1, Engine: lamppost.Raft}); status != 400 || !strings.Contains(string(answer), "init raft") {
		t.Errorf("the order to turn, while the node runs: %d %s", status, answer)
	}
	l.stop()
	without := cfg
	without.Address = ""
	refused("no address", "no address", without)
	without.Address = "nowhere"
	refused("no port", "host:port", without)
	refused("no folder", "holds no network", turning(t.TempDir(), "127.0.0.1:7650"))
	for _, engine := range []string{"raft", "comet"} {
		s := founded(t, engine, 4)[0]
		s.run(t, time.Hour).stop()
		refused(engine, "orders by "+engine+" already", turning(s.dir, "127.0.0.1:7650"))
	}
	must(t, os.WriteFile(filepath.Join(dir, folder.Erasures), nil, 0o600))
	refused("erasures", "start the node once", cfg)
	must(t, os.Remove(filepath.Join(dir, folder.Erasures)))
	key := filepath.Join(dir, folder.MemberKey)
	mine, err := os.ReadFile(key)
	must(t, err)
	must(t, os.WriteFile(key, []byte(strings.Repeat("07", 32)), 0o600))
	refused("a copy", "this folder is a copy", cfg)
	must(t, os.WriteFile(key, mine, 0o600))

	older := t.TempDir()
	store, err := pebble.Open(filepath.Join(dir, folder.DB), pebble.Options{})
	must(t, err)
	must(t, store.Checkpoint(filepath.Join(older, folder.DB)))
	must(t, store.Close())
	goesOn(t, dir, m, false)
	for _, name := range []string{folder.MemberKey, folder.Log, folder.Archive} {
		must(t, os.Symlink(filepath.Join(dir, name), filepath.Join(older, name)))
	}
	refused("an older copy", "older copy", turning(older, "127.0.0.1:7650"))

	turnOf(t, cfg, "")
	once, err := node.OpenTurn(cfg)
	must(t, err)
	if !once.Done {
		t.Error("a folder that has turned would turn again")
	}
	must(t, once.Close())
}

// Two come to the one that turned, and are handed its state. Without its log it does not go on.
func TestTurnedIsJoined(t *testing.T) {
	t.Parallel()
	dir, m := alone(t)
	seats := []seat{newSeat(t, "m2"), newSeat(t, "m3")}
	turnOf(t, turning(dir, newSeat(t, "none").card.Address), "")
	text, err := os.ReadFile(filepath.Join(dir, folder.Network))
	must(t, err)
	first := seat{dir: dir}.run(t, 200*time.Millisecond)
	for i := range 3 {
		first.ordered(lamppost.TxParty, lamppost.PartyBody{ID: lamppost.PartyID(fmt.Sprint("p", i))})
	}
	eventually(t, "the log forgets as any other", func() bool { return first.lamp().Forgotten() })
	first.stop()
	first = seat{dir: dir}.run(t, time.Hour) // a log that forgot every moment would be ahead of whoever has just been handed its state, for ever
	all := []*member{first}
	for _, s := range seats {
		must(t, os.WriteFile(filepath.Join(s.dir, folder.Network), text, 0o600))
		card, err := s.card.Ledger()
		must(t, err)
		is := first.lamp().Is()
		want := lamppost.NetworkBody{After: is.Changed, Rules: 1, Members: append(is.Members, card)}
		for _, o := range all {
			o.ordered(lamppost.TxNetwork, want)
		}
		first.ordered(lamppost.TxParty, lamppost.PartyBody{ID: lamppost.PartyID("before-" + s.card.ID)}) // the one to come is not there yet
		late := s.run(t, time.Hour)
		eventually(t, "the new one takes orders", func() bool {
			_, err := late.lamp().Order(t.Context(), lamppost.TxParty, lamppost.PartyBody{ID: lamppost.PartyID("at-" + s.card.ID)})
			return err == nil
		})
		if late.reopened() == 0 {
			t.Errorf("%s was handed no state, though the log begins behind it", s.card.ID)
		}
		all = append(all, late)
	}
	if d := all[2].lamp().detail(m.id); d.ID != m.id {
		t.Errorf("the last to come knows the device as %+v", d)
	}
	for _, o := range all {
		o.stop()
		if got := checked(t, o.cfg.Data); len(got.Faults) > 0 {
			t.Errorf("%+v", got.Faults)
		}
	}
	must(t, os.RemoveAll(filepath.Join(dir, folder.Raft)))
	n, err := node.Open(first.cfg)
	must(t, err)
	if err := n.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "new id") {
		t.Errorf("without its log the first runs: %v", err)
	}
}
