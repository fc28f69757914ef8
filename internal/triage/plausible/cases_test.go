package plausible_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/plausible"
)

const hourMS = 3_600_000

// TestCases: each rule speaks when it should, once, and is silent otherwise. The cases are data.
func TestCases(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/cases.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Split(string(text), "\n== ")[1:]
	if len(cases) < 15 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, c := range cases {
		name, lines, _ := strings.Cut(c, "\n")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &player{t: t, at: 1000 * 24 * hourMS, random: rand.New(rand.NewPCG(7, 7))}
			for _, line := range strings.Split(lines, "\n") {
				if line = strings.TrimSpace(line); line != "" {
					p.play(line)
				}
			}
		})
	}
}

// A player plays a case to a meter.
type player struct {
	t        *testing.T
	meter    *plausible.Meter
	random   *rand.Rand
	at       lamppost.TimeMS
	register int64
	said     []string
}

func (p *player) play(line string) {
	var a, b float64
	verb, rest, _ := strings.Cut(line, " ")
	_, _ = fmt.Sscan(rest, &a, &b)
	switch verb {
	case "meter":
		p.meter, _ = plausible.NewMeter(int64(a))
		p.step(0, 1000, plausible.Reading{})
	case "home":
		p.home(a, func(x float64) float64 { return x })
	case "more":
		p.home(b, func(x float64) float64 { return x + a })
	case "part":
		p.home(b, func(x float64) float64 { return x * a })
	case "nights":
		p.home(a, func(x float64) float64 {
			if h := p.at / hourMS % 24; h < 8 {
				return 0
			}
			return x
		})
	case "use", "off":
		for range int(b) {
			p.step(hourMS, int64(a), plausible.Reading{Off: verb == "off"})
		}
	case "days":
		for range int(a) {
			p.step(24*hourMS, 9000+p.random.Int64N(2000), plausible.Reading{})
		}
	case "daily":
		for range int(b) {
			p.step(24*hourMS, int64(a), plausible.Reading{})
		}
	case "fall":
		p.step(hourMS, -int64(a), plausible.Reading{})
	case "exchange":
		p.register = 0
		p.step(hourMS, 0, plausible.Reading{Exchanged: true})
	case "silent":
		p.step(lamppost.TimeMS(a)*hourMS, 0, plausible.Reading{})
	case "again":
		p.observe(plausible.Reading{AtMS: p.at, Register: p.register + int64(a)})
	case "late":
		p.observe(plausible.Reading{AtMS: p.at - lamppost.TimeMS(a)*hourMS/60, Register: p.register - int64(b)})
	case "say":
		if got := strings.Join(p.said, " "); got != strings.TrimSpace(rest) {
			p.t.Errorf("said %q, want %q", got, rest)
		}
		p.said = nil
	default:
		p.t.Fatalf("no such line: %q", line)
	}
}

// home is days of an ordinary home: 150 to 300 at night, up to 2,500 by day.
func (p *player) home(days float64, change func(float64) float64) {
	for range int(days * 24) {
		x := 150 + 150*p.random.Float64()
		if h := p.at / hourMS % 24; h >= 6 {
			x += 2200 * p.random.Float64()
		}
		p.step(hourMS, int64(change(x)), plausible.Reading{})
	}
}

func (p *player) step(ms lamppost.TimeMS, used int64, r plausible.Reading) {
	p.at, p.register = p.at+ms, p.register+used
	r.AtMS, r.Register = p.at, p.register
	p.observe(r)
}

func (p *player) observe(r plausible.Reading) {
	p.t.Helper()
	found, err := p.meter.Observe(r)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range found {
		p.said = append(p.said, f.Code.String())
	}
}
