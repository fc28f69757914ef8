// Package federate knows how gateways learn one model together without showing a reading: each sends the sums that a regression needs
// ([forecast.Stats]), and these, added, give the weights that all samples in one place would have given. Who would spoil the model for the
// others is left out, with the number that says so.
//
// Start reading at [Merge]. It promises the same bits from the same updates on every machine, in any order; that where all are honest nothing is
// changed or left out but what is listed in limits below; and that no update counts for more than [MaxTimes] the middle one. It cannot tell whether
// rows were really measured. docs/learning.md says what is measured of it, and what a sum still tells.
package federate

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/forecast"
)

// Limits.
const (
	MinRows    = 500 // of an update: sums of few rows come close to telling the rows
	MinDevices = 5   // of an update
	MaxUpdates = 256 // in a round

	// MaxRise is by how much, in parts of what they miss, others may miss more (weighted squares) if half of all had learnt like one, before it
	// is left out; or five times what is usual, where that is more. What a smaller share does falls with its square.
	MaxRise = 0.2

	// MaxTimes is how often the middle update's weight one may have in a merged model: whoever claims more rows counts no more.
	MaxTimes = 3

	maxFeature = 20 // the magnitude of features and targets in package forecast
)

// An Update is what one participant has learnt.
type Update struct {
	By      string
	Round   int64 // see [RoundMS]
	Devices int
	Stats   *forecast.Stats
}

// Left says why an update is not in a model.
type Left string

// Why.
const (
	LeftForm    Left = "form"     // it cannot be the sums of so many rows
	LeftRows    Left = "rows"     // of fewer rows than MinRows, or devices than MinDevices
	LeftSpoils  Left = "spoils"   // others would miss more than MaxRise allows
	LeftTooMany Left = "too_many" // it is beyond MaxUpdates
)

// A Part is what became of an update.
type Part struct {
	By     string  `json:"by"`
	Rows   int     `json:"rows"`
	Rise   float64 `json:"rise"`   // by what part others would miss more if half of all had learnt like this
	Share  float64 `json:"share"`  // of the merged model
	Factor float64 `json:"factor"` // what its samples count; below 1: it was too large
	Left   Left    `json:"left_out,omitempty"`
	Why    string  `json:"why,omitempty"`
}

// A Round is what a model's updates came to.
type Round struct {
	Stats *forecast.Stats // nil: nobody had anything to say
	Hash  lamppost.Hash   // of Stats
	Parts []Part          // in the order of their names
}

// Merge adds up the updates of a round.
func Merge(updates []Update) (*Round, error) {
	updates = slices.Clone(updates)
	slices.SortStableFunc(updates, func(a, b Update) int { return cmp.Compare(a.By, b.By) })
	r := &Round{Parts: make([]Part, len(updates))}
	var sound []*candidate
	for i := range updates {
		u, p := &updates[i], &r.Parts[i]
		if i > 0 && u.By == updates[i-1].By {
			return nil, fmt.Errorf("%q takes part twice", u.By)
		}
		*p = Part{By: u.By}
		if u.Stats != nil {
			p.Rows = u.Stats.Rows
		}
		c, left, err := admit(u)
		if err == nil && len(sound) == MaxUpdates {
			left, err = LeftTooMany, fmt.Errorf("a round has %d updates", MaxUpdates)
		}
		if err == nil && len(sound) > 0 && c.stats.Features() != sound[0].stats.Features() {
			left, err = LeftForm, errors.New("it is of other features than the first")
		}
		if err != nil {
			p.Left, p.Why = left, err.Error()
			continue
		}
		c.part = p
		sound = append(sound, c)
	}
	kept := judge(sound)
	if len(kept) == 0 {
		return r, nil
	}
	bound(kept)
	return r, r.add(kept)
}

// A candidate is a sound update.
type candidate struct {
	part  *Part
	stats *forecast.Stats
	w     []float64       // what it alone would learn
	one   *forecast.Stats // with the weight of one sample
}

// admit refuses what cannot be, or must not be, the sums of so many rows.
func admit(u *Update) (*candidate, Left, error) {
	s := u.Stats
	if s == nil || s.Features() < 1 {
		return nil, LeftForm, errors.New("there are no statistics")
	}
	if s.Rows < MinRows || u.Devices < MinDevices {
		return nil, LeftRows, fmt.Errorf("%d rows of %d devices, not %d of %d", s.Rows, u.Devices, MinRows, MinDevices)
	}
	if !(s.Weight > 0 && s.Weight <= float64(s.Rows)*(1+1e-9)) {
		return nil, LeftForm, fmt.Errorf("%d rows weigh %.6g", s.Rows, s.Weight)
	}
	one := zero(s)
	if err := one.Merge(s, 1/s.Weight); err != nil {
		return nil, LeftForm, err
	}
	if math.Abs(one.Gram[0]-1) > 1e-6 {
		return nil, LeftForm, errors.New("the constant is not 1")
	}
	const most = maxFeature*maxFeature + 1e-6
	for i, at := 0, 0; i < s.Features(); i, at = i+1, at+i+2 {
		if d := one.Gram[at]; !(d >= 0 && d <= most) {
			return nil, LeftForm, fmt.Errorf("the square of feature %d is %.6g on average", i, d)
		}
	}
	if !(one.Square >= 0 && one.Square <= most) {
		return nil, LeftForm, fmt.Errorf("the square of what is to be learnt is %.6g on average", one.Square)
	}
	w, err := s.Fit()
	if err != nil {
		return nil, LeftForm, err
	}
	// Sums of rows are positive: no weights miss less than nothing.
	if loss, err := s.Loss(w); err != nil || !(loss > -1e-9*(1+one.Square)) {
		return nil, LeftForm, fmt.Errorf("its own weights miss %.6g on average: %w", loss, errors.Join(err, errNegative))
	}
	return &candidate{stats: s, w: w, one: one}, "", nil
}

var errNegative = errors.New("no rows add up to that")

func zero(like *forecast.Stats) *forecast.Stats {
	s, _ := forecast.NewStats(like.Features()) // as many as there are already
	return s
}

// bound scales down what is too large.
func bound(kept []*candidate) {
	weights := make([]float64, len(kept))
	for i, c := range kept {
		weights[i] = c.stats.Weight
	}
	most := float64(MaxTimes * median(weights))
	for _, c := range kept {
		c.part.Factor = min(1, most/c.stats.Weight)
	}
}

// add merges what is kept, in the order of names, and hashes the sum.
func (r *Round) add(kept []*candidate) error {
	r.Stats = zero(kept[0].stats)
	for _, c := range kept {
		if err := r.Stats.Merge(c.stats, c.part.Factor); err != nil {
			return err
		}
	}
	for _, c := range kept {
		c.part.Share = float64(c.stats.Weight*c.part.Factor) / r.Stats.Weight
	}
	var err error
	r.Hash, err = HashOf(r.Stats)
	return err
}

// HashOf names a model by what it was learnt from. Updates say which they improve by it.
func HashOf(s *forecast.Stats) (lamppost.Hash, error) {
	b, err := s.AppendBinary(nil)
	return sha256.Sum256(b), err
}
