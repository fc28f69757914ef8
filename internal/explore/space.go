package explore

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

// Example is a space file with everything that can stand in one.
//
//go:embed example.yaml
var Example string

// A Space says what is to be measured. Unknown keys of its file are errors.
type Space struct {
	Seed        uint64  `yaml:"seed" json:"seed"`               // of the order
	Repetitions int     `yaml:"repetitions" json:"repetitions"` // of each point; default 3
	Seconds     float64 `yaml:"seconds" json:"seconds"`         // that reports are sent, at each point; default 5
	Most        int     `yaml:"most" json:"most"`               // reports a second to sign for in advance, where rate is 0; default 40,000
	Grids       []Grid  `yaml:"grids" json:"grids"`             // all combinations of each
	Energy      *Energy `yaml:"energy" json:"energy"`           // default: DefaultEnergy
}

// A Grid is all combinations of its values. A list of points is a list of grids of one value each.
type Grid struct {
	Engine   Values[string]  `yaml:"engine" json:"engine,omitempty"`
	Nodes    Values[int]     `yaml:"nodes" json:"nodes,omitempty"`
	Devices  Values[int]     `yaml:"devices" json:"devices,omitempty"`
	Rate     Values[int]     `yaml:"rate" json:"rate,omitempty"`
	Readings Values[int]     `yaml:"readings" json:"readings,omitempty"`
	Suites   Values[string]  `yaml:"suites" json:"suites,omitempty"`
	Verify   Values[string]  `yaml:"verify" json:"verify,omitempty"`
	LingerMS Values[float64] `yaml:"linger_ms" json:"linger_ms,omitempty"`
	Segment  Values[int]     `yaml:"segment" json:"segment,omitempty"`
	RTTMS    Values[float64] `yaml:"rtt_ms" json:"rtt_ms,omitempty"`
	Loss     Values[float64] `yaml:"loss" json:"loss,omitempty"`
	Fault    Values[string]  `yaml:"fault" json:"fault,omitempty"`
}

// Values are a list; a single value may stand for itself.
type Values[T any] []T

// UnmarshalYAML implements yaml.BytesUnmarshaler.
func (v *Values[T]) UnmarshalYAML(raw []byte) error {
	var list []T
	if err := yaml.Unmarshal(raw, &list); err == nil {
		*v = list
		return nil
	}
	var one T
	if err := yaml.Unmarshal(raw, &one); err != nil {
		return err
	}
	*v = Values[T]{one}
	return nil
}

// A Point is one setting of everything. Its names are those of rows: docs/consensus.md says what they mean.
type Point struct {
	Engine   string  `json:"engine"`
	Nodes    int     `json:"nodes"`
	Devices  int     `json:"devices"`
	Rate     int     `json:"rate"`     // reports a second over all devices; 0: as fast as they are acknowledged
	Readings int     `json:"readings"` // in a report
	Suites   string  `json:"suites"`   // such as "ed25519" or "es256:7+hmac-sha256:2"
	Verify   string  `json:"verify"`
	LingerMS float64 `json:"linger_ms"`
	Segment  int     `json:"segment"` // reports in one at most
	RTTMS    float64 `json:"rtt_ms"`  // between members
	Loss     float64 `json:"loss"`    // of packets between members
	Fault    string  `json:"fault"`   // none, kill, pause
}

// Pair is what points have in common that differ in the engine alone.
func (p Point) Pair() Point {
	p.Engine, p.Nodes = "", 0
	return p
}

// Limits of a space.
const (
	maxPoints  = 10_000
	maxNodes   = 13
	maxDevices = 10_000
	maxRate    = 1_000_000
	maxSeconds = 3600
	maxRTTMS   = 2000
	maxMix     = 100 // parts of a mix of suites
)

// fewest is how many members bear the loss of one.
var fewest = map[string]int{"solo": 1, "raft": 3, "comet": 4}

var errNoGrids = errors.New("there are no grids: lamppost explore --example shows some")

// ParseSpace reads a space file and puts in what it leaves out.
func ParseSpace(text []byte) (*Space, error) {
	s := &Space{Repetitions: 3, Seconds: 5, Most: 40_000}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errNoGrids
	}
	if err := yaml.UnmarshalWithOptions(text, s, yaml.Strict()); err != nil {
		return nil, PlainYAML(err)
	}
	switch {
	case s.Repetitions < 1 || s.Repetitions > 1000:
		return nil, fmt.Errorf("repetitions is from 1 to 1000, not %d", s.Repetitions)
	case !(s.Seconds >= 0.2 && s.Seconds <= maxSeconds):
		return nil, fmt.Errorf("seconds is from 0.2 to %d, not %v", maxSeconds, s.Seconds)
	case s.Most < 1 || s.Most > maxRate:
		return nil, fmt.Errorf("most is from 1 to %d reports a second, not %d", maxRate, s.Most)
	case len(s.Grids) == 0:
		return nil, errNoGrids
	case s.Energy == nil:
		s.Energy = new(Energy)
	}
	s.Energy.complete()
	return s, s.Energy.check()
}

// Points are all points of the space, each once, and how many combinations cannot be: a node alone has no network, and nobody to
// take over.
func (s *Space) Points() (points []Point, left int, err error) {
	seen := map[Point]bool{}
	for i, g := range s.Grids {
		for p := range g.all() {
			p.Nodes = cmp.Or(p.Nodes, fewest[p.Engine])
			if p.Engine == "solo" && (p.Nodes != 1 || p.RTTMS > 0 || p.Loss > 0 || p.Fault != "none") {
				left++
				continue
			}
			if err := p.check(s.Seconds); err != nil {
				return nil, 0, fmt.Errorf("grid %d: %w", i+1, err)
			}
			if !seen[p] {
				seen[p], points = true, append(points, p)
			}
			if len(points) > maxPoints {
				return nil, 0, fmt.Errorf("there are more than %d points", maxPoints)
			}
		}
	}
	if len(points) == 0 {
		return nil, 0, errors.New("no combination of the grids can be: a node alone has one node, no distance, no loss and no fault")
	}
	return points, left, nil
}

// all are the combinations of a grid.
func (g *Grid) all() func(yield func(Point) bool) {
	points := []Point{{Engine: "solo", Devices: 100, Readings: 1, Suites: sig.EdDSA.String(), Verify: "full", LingerMS: 25, Segment: 1024, Fault: "none"}}
	points = times(points, g.Engine, func(p *Point, v string) { p.Engine = v })
	points = times(points, g.Nodes, func(p *Point, v int) { p.Nodes = v })
	points = times(points, g.Devices, func(p *Point, v int) { p.Devices = v })
	points = times(points, g.Rate, func(p *Point, v int) { p.Rate = v })
	points = times(points, g.Readings, func(p *Point, v int) { p.Readings = v })
	points = times(points, g.Suites, func(p *Point, v string) { p.Suites = v })
	points = times(points, g.Verify, func(p *Point, v string) { p.Verify = v })
	points = times(points, g.LingerMS, func(p *Point, v float64) { p.LingerMS = v })
	points = times(points, g.Segment, func(p *Point, v int) { p.Segment = v })
	points = times(points, g.RTTMS, func(p *Point, v float64) { p.RTTMS = v })
	points = times(points, g.Loss, func(p *Point, v float64) { p.Loss = v })
	points = times(points, g.Fault, func(p *Point, v string) { p.Fault = v })
	return slices.Values(points)
}

// times puts each value into each point; no values leave the default.
func times[T any](points []Point, values Values[T], put func(*Point, T)) []Point {
	if len(values) == 0 || len(points) > maxPoints {
		return points
	}
	var all []Point
	for _, p := range points {
		for _, v := range values {
			put(&p, v)
			all = append(all, p)
		}
	}
	return all
}

func (p *Point) check(seconds float64) error {
	mix, err := p.Mix()
	switch {
	case err != nil:
		return err
	case fewest[p.Engine] == 0:
		return fmt.Errorf("engine %q: say solo, raft or comet", p.Engine)
	case p.Nodes < 1 || p.Nodes > maxNodes:
		return fmt.Errorf("nodes is from 1 to %d, not %d", maxNodes, p.Nodes)
	case p.Devices < 1 || p.Devices > maxDevices:
		return fmt.Errorf("devices is from 1 to %d, not %d", maxDevices, p.Devices)
	case p.Rate < 0 || p.Rate > maxRate:
		return fmt.Errorf("rate is from 0 to %d, not %d", maxRate, p.Rate)
	case p.Readings < 1 || p.Readings > lamppost.MaxReadings:
		return fmt.Errorf("readings is from 1 to %d, not %d", lamppost.MaxReadings, p.Readings)
	case p.Verify != "full" && p.Verify != "gateway":
		return fmt.Errorf("verify %q: say full or gateway", p.Verify)
	case p.Verify == "gateway" && slices.Contains(mix, sig.HMAC256):
		return errors.New("an HMAC key is shared with the member that the device enrolled with, and a gateway on site has none to check with: leave HMAC out where verify is gateway; nobody checks after that member where verify is full, either")
	case !(p.LingerMS >= 1 && p.LingerMS <= 60_000):
		return fmt.Errorf("linger_ms is from 1 to 60000, not %v", p.LingerMS)
	case p.Segment < 1 || p.Segment > lamppost.MaxSegmentReports:
		return fmt.Errorf("segment is from 1 to %d, not %d", lamppost.MaxSegmentReports, p.Segment)
	case !(p.RTTMS >= 0 && p.RTTMS <= maxRTTMS):
		return fmt.Errorf("rtt_ms is from 0 to %d, not %v", maxRTTMS, p.RTTMS)
	case !(p.Loss >= 0 && p.Loss <= 0.5):
		return fmt.Errorf("loss is a share of the packets from 0 to 0.5, not %v", p.Loss)
	case p.Fault != "none" && p.Fault != "kill" && p.Fault != "pause":
		return fmt.Errorf("fault %q: say none, kill or pause", p.Fault)
	case p.Fault != "none" && p.Nodes < fewest[p.Engine]:
		return fmt.Errorf("%d members by %s bear the loss of none", p.Nodes, p.Engine)
	case p.Fault != "none" && seconds < 1:
		return errors.New("a fault needs a second at least")
	}
	return nil
}

// Mix is which suite devices have, by turns.
func (p *Point) Mix() (mix []sig.Suite, err error) {
	for _, part := range strings.Split(p.Suites, "+") {
		name, share, found := strings.Cut(part, ":")
		n := 1
		if found {
			if n, err = strconv.Atoi(share); err != nil || n < 1 {
				return nil, fmt.Errorf("suites %q: %q is no share", p.Suites, share)
			}
		}
		suite, err := sig.ParseSuite(name)
		if err == nil && suite == sig.MLDSA44 {
			err = fmt.Errorf("suite %q is reserved", name)
		}
		if err != nil {
			return nil, fmt.Errorf("suites %q: %w", p.Suites, err)
		}
		if len(mix)+n > maxMix {
			return nil, fmt.Errorf("suites %q has more than %d parts", p.Suites, maxMix)
		}
		mix = append(mix, slices.Repeat([]sig.Suite{suite}, n)...)
	}
	return mix, nil
}

// A Run is one measurement to make.
type Run struct {
	Point
	Rep   int // from 1
	Order int // from 1
}

// Plan is the order in which everything is measured. Machines are noisy, and not always alike: so each repetition is all points, in an
// order by the seed; and those that differ in the engine alone follow each other, in turn forwards and backwards.
func (s *Space) Plan() ([]Run, error) {
	points, _, err := s.Points()
	if err != nil {
		return nil, err
	}
	var pairs [][]Point
	at := map[Point]int{}
	for _, p := range points {
		i, ok := at[p.Pair()]
		if !ok {
			i, pairs = len(pairs), append(pairs, nil)
			at[p.Pair()] = i
		}
		pairs[i] = append(pairs[i], p)
	}
	die := rand.New(rand.NewPCG(s.Seed, 0))
	var plan []Run
	for rep := range s.Repetitions {
		die.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
		for _, pair := range pairs {
			for i := range pair {
				if rep%2 == 1 {
					i = len(pair) - 1 - i
				}
				plan = append(plan, Run{Point: pair[i], Rep: rep + 1, Order: len(plan) + 1})
			}
		}
	}
	return plan, nil
}
