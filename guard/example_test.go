package guard_test

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/guard"
	"github.com/lamppost/lamppost/internal/transcript"
	"github.com/lamppost/lamppost/sig"
)

// TestExamples runs testdata/*.txt: what a guard does with a real machine, for owners and writers of firmware to read. A paragraph is
// some lines of what happens, "----", and what the guard says.
//
//	enrolled CLASS                              a device as it is enrolled, whose guard has met nobody
//	charter N NAME=CLASS[:MIN] … [second] [agreed] [by=KEY]
//	                                            the owner's next charter; second names a second party, agreed is signed by it
//	asked [FUNCTION=LEVEL] …                    the network is heard of, and asks for this and nothing else
//	for SPAN                                    time passes in contact with the network, which goes on asking for the same
//	away SPAN                                   time passes, and the network is not heard of
//	clock SPAN                                  the clock of days jumps
//	off SPAN                                    the power is away for so long
//	disk fails                                  nothing can be kept any more
//	level FUNCTION | least FUNCTION             what the guard decides; the lowest that anybody on site may set
//	try use|unlock|release FUNCTION             what somebody does at the device
//
// A SPAN is like 10d, 36h or 5m.
func TestExamples(t *testing.T) {
	t.Parallel()
	if files, err := filepath.Glob("testdata/*.txt"); err != nil || len(files) < 5 {
		t.Fatalf("found %d examples (%v)", len(files), err)
	}
	transcript.Run(t, func(*testing.T) func(string) string {
		m := &machine{now: time.UnixMilli(1_780_000_000_000)}
		m.open = m.openGo
		return m.answer
	})
}

// answer does what the lines say, one after the other.
func (m *machine) answer(question string) string {
	var lines []string
	for line := range strings.SplitSeq(question, "\n") {
		if f := strings.Fields(line); len(f) > 0 && f[0] != "#" {
			if said := m.do(f); said != "" {
				lines = append(lines, said)
			}
		}
	}
	return strings.Join(lines, "\n")
}

// A keeper is a *guard.Keeper, or the one in C.
type keeper interface {
	Take(guard.Signed) error
	Hear(guard.Asked) error
	Level(string) guard.Decision
	Least(string) guard.Decision
	May(guard.Action, string) bool
}

// A machine is a device with a guard, its clocks and its disk.
type machine struct {
	open   func() keeper
	k      keeper
	class  lamppost.SafetyClass
	disk   []byte
	broken bool

	now  time.Time // of days
	asks []string
}

func (m *machine) openGo() keeper {
	k, err := guard.Open(guard.Config{Network: "net", Device: "d", Class: m.class, Kept: m.disk, Now: m.clock, Save: func(b []byte) error {
		if m.broken {
			return errors.New("no space left")
		}
		m.disk = slices.Clone(b)
		return nil
	}})
	if err != nil {
		panic(err)
	}
	return k
}

// clock has no monotonic part, so both clocks say the same; the model check is about clocks that do not. A jump is one of both.
func (m *machine) clock() time.Time { return m.now }

func (m *machine) do(f []string) string {
	switch f[0] {
	case "enrolled":
		m.class, _ = lamppost.ParseSafetyClass(f[1])
		m.disk, m.broken = nil, false
		m.k = m.open()
	case "charter":
		if err := m.k.Take(signed(f[1:])); err != nil {
			return err.Error()
		}
	case "asked":
		m.asks = f[1:]
		m.hear()
	case "for", "away":
		m.pass(span(f[1]), f[0] == "for")
	case "clock":
		m.now = m.now.Add(span(f[1]))
	case "off":
		m.now = m.now.Add(span(f[1]))
		m.k = m.open()
	case "disk":
		m.broken = true
	case "level":
		return m.k.Level(f[1]).String()
	case "least":
		d := m.k.Least(f[1])
		return fmt.Sprintf("%s may be set to no less than %d %%: %s", f[1], d.Level, cmp.Or(d.Why, "granted"))
	case "try":
		a := map[string]guard.Action{"use": guard.Use, "unlock": guard.Unlock, "release": guard.Release}[f[1]]
		return fmt.Sprintf("%s %s: %s", f[1], f[2], map[bool]string{true: "it does", false: "no"}[m.k.May(a, f[2])])
	default:
		panic("what is " + f[0])
	}
	return ""
}

// pass lets time pass in steps of five minutes.
func (m *machine) pass(d time.Duration, contact bool) {
	for ; d > 0; d -= 5 * time.Minute {
		m.now = m.now.Add(5 * time.Minute)
		if contact {
			m.hear()
		} else {
			m.k.Level("")
		}
	}
}

func (m *machine) hear() {
	a := guard.Asked{Network: "net"}
	for _, one := range m.asks {
		name, level, _ := strings.Cut(one, "=")
		n, err := strconv.Atoi(level)
		if err != nil {
			panic(err)
		}
		a.Requests = append(a.Requests, guard.Request{ID: name, Function: name, Level: uint8(n), By: "owner", Reason: "two bills are due", Left: 30 * 24 * 3600 * 1000})
	}
	_ = m.k.Hear(a) // what it says of the disk shows in what it decides
}

func span(s string) time.Duration {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil {
			panic(err)
		}
		return time.Duration(n) * 24 * time.Hour
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
}

func privateKey(name string) *sig.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	k, err := sig.NewPrivateKey(sig.EdDSA, seed[:])
	if err != nil {
		panic(err)
	}
	return k
}

func signed(f []string) guard.Signed {
	key := func(name string) lamppost.CharterKey {
		return lamppost.CharterKey{Suite: sig.EdDSA, Key: privateKey(name).Public().Bytes()}
	}
	n, err := strconv.Atoi(f[0])
	if err != nil {
		panic(err)
	}
	c, signer, agreed := lamppost.Charter{Version: 1, Device: "d", Number: uint32(n), Owner: key("owner")}, "owner", false
	for _, at := range f[1:] {
		name, class, isFunction := strings.Cut(at, "=")
		switch {
		case at == "second":
			k := key("second")
			c.Second = &k
		case at == "agreed":
			agreed = true
		case name == "by":
			signer = class
		case isFunction:
			class, least, _ := strings.Cut(class, ":")
			safety, err := lamppost.ParseSafetyClass(class)
			if err != nil {
				panic(err)
			}
			fn := lamppost.DefaultFunction(name, safety)
			if least != "" {
				n, _ := strconv.Atoi(least)
				fn.Min = uint8(n)
			}
			c.Functions = append(c.Functions, fn)
		}
	}
	s := guard.Signed{}
	if s.Charter, err = c.Sign("net", lamppost.PurposeCharter, privateKey(signer)); err != nil {
		panic(err)
	}
	if agreed {
		if s.Second, err = c.Sign("net", lamppost.PurposeAgreed, privateKey("second")); err != nil {
			panic(err)
		}
	}
	return s
}
