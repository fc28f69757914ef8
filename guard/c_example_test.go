package guard_test

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/guard"
	"github.com/lamppost/lamppost/internal/transcript"
)

// TestExamplesInC runs testdata/*.txt through the guard in C. It decides, and says which charter it does not take and why; the words are Go's.
func TestExamplesInC(t *testing.T) {
	t.Parallel()
	path := program.Path(t)
	transcript.Run(t, func(t *testing.T) func(string) string {
		c := open(t, path)
		m := &machine{now: time.UnixMilli(1_780_000_000_000)}
		m.open = func() keeper { return openInC(c, m) }
		return m.answer
	})
}

// A keeperInC is what guard.Keeper is, in C.
type keeperInC struct {
	*mirror
	m      *machine
	latest *lamppost.Charter
	asked  []guard.Request
}

func openInC(c *mirror, m *machine) keeper {
	k := &keeperInC{mirror: c, m: m}
	at := m.now.UnixMilli()
	if m.k == nil || m.disk == nil {
		c.lines([]string{"new 0 900000", "broken 0"})
		m.disk = []byte{}
	} else {
		before := m.k.(*keeperInC)
		k.latest, k.asked = before.latest, before.asked
	}
	c.lines([]string{fmt.Sprintf("open %d %d %d", m.class, at, at)})
	k.done()
	return k
}

// done sends what is said, of which the last asks for a code.
func (k *keeperInC) done() int {
	line := strings.TrimSuffix(k.say.String(), "\n")
	k.say.Reset()
	return k.number("%s", line)
}

func (k *keeperInC) tick() {
	at := k.m.now.UnixMilli()
	k.number("broken %d\nnow %d %d", btoi(k.m.broken), at, at)
}

func (k *keeperInC) Take(s guard.Signed) error {
	k.tick()
	o, err := lamppost.ReadOffer("net", k.latest, s.Charter, s.Second)
	if err != nil {
		return err
	}
	before := k.latest
	switch code := k.number("%s", "take"+strings.TrimPrefix(sayOffer(o), "offer")); code {
	case 0:
		k.latest = &o.Charter
		return nil
	case 17:
		return fmt.Errorf("charter %d is not signed by the owner", o.Charter.Number)
	case 18:
		return fmt.Errorf("charter %d protects less (%s), and the second party did not sign it", o.Charter.Number, o.Charter.Falls(before))
	case 19:
		return fmt.Errorf("charter %d comes after charter %d, which is known", o.Charter.Number, before.Number)
	default:
		return fmt.Errorf("code %d", code)
	}
}

func (k *keeperInC) Hear(a guard.Asked) error {
	k.tick()
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	k.asked = a.Requests
	if code := k.number("hear 7 %s", hex.EncodeToString(text)); code != 0 {
		return errors.New("code " + strconv.Itoa(code))
	}
	return nil
}

func (k *keeperInC) Level(name string) guard.Decision { return k.decide("level", name) }
func (k *keeperInC) Least(name string) guard.Decision { return k.decide("least", name) }

func (k *keeperInC) decide(verb, name string) guard.Decision {
	k.tick()
	f := k.ask("%s %s", verb, cmp.Or(name, "nothing"))
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			k.t.Fatal(err)
		}
		return n
	}
	d := guard.Decision{Function: name, Class: lamppost.SafetyClass(number(f[0])).String(), Level: uint8(number(f[1])), After: lamppost.TimeMS(number(f[3]))}
	if f[2] != "-" {
		d.Why = f[2]
	}
	if at := slices.IndexFunc(k.asked, func(r guard.Request) bool { return r.ID == f[4] }); at >= 0 {
		r := &k.asked[at]
		d.Request, d.Asked, d.By, d.Reason = r.ID, r.Level, r.By, r.Reason
	}
	return d
}

func (k *keeperInC) May(a guard.Action, name string) bool {
	k.tick()
	return k.number("may %d %s", a, name) == 1
}
