// Package federate knows how gateways learn one model together without showing a reading: each sends the sums that a regression needs
// ([forecast.Stats]), and these, added, give the weights that all samples in one place would have given. Who would spoil the model for the
// others is left out, with the number that says so.
//
// Start reading at [Merge]. It promises the same bits from the same updates on every machine, in any order; that where all are honest nothing is
// changed or left out but what is listed in limits below; and that a member has one voice and one weight, however many gateways speak for it
// (members.go). It cannot tell whether rows were really measured. docs/learning.md says what is measured of it, and what a sum still tells.
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
	MaxUpdates = 256 // in a round; as many as a network may have members

	// MinMembers is of how many members one can be told from the others. Of fewer, only the updates of one member are held against each other.
	MinMembers = 3

	// MaxRise is by how much, in parts of what they miss, others may miss more (weighted squares) if half of all had learnt like one, before it
	// is left out; or five times what is usual, where that is more. What a smaller share does falls with its square.
	MaxRise = 0.2

	// MaxTimes is how often the middle member's weight one may have in a merged model, and how often the middle update's of its member an update may:
	// whoever claims more rows counts no more, unless the others lose nothing by it (MaxHarm).
	MaxTimes = 3

	// MaxHarm is by how much, in parts of what they miss, others may miss more (weighted squares) if nothing is scaled down to MaxTimes.
	MaxHarm = 0.01

	maxFeature = 20 // the magnitude of features and targets in package forecast
)

// An Update is what one participant has learnt.
type Update struct {
	By      string
	Member  string // who answers for it, and has one voice with however many updates; "": nobody does any more
	Round   int64  // see [RoundMS]
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
	LeftFormer  Left = "former"   // nobody answers for it any more
)

// A Part is what became of an update.
type Part struct {
	By     string  `json:"by"`
	Member string  `json:"member"` // who answers for it
	Rows   int     `json:"rows"`
	Rise   float64 `json:"rise"`   // by what part others would miss more if half of all had learnt like this
	Share  float64 `json:"share"`  // of the merged model
	Factor float64 `json:"factor"` // what its samples count; below 1: it was too large
	Left   Left    `json:"left_out,omitempty"`
	Why    string  `json:"why,omitempty"`
}

// A Round is what a model's updates came to.
type Round struct {
	Stats   *forecast.Stats // nil: nobody had anything to say
	Hash    lamppost.Hash   // of Stats
	Members int             // whose sound updates were held against each other
	Parts   []Part          // in the order of their names
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
		*p = Part{By: u.By, Member: u.Member}
		if u.Stats != nil {
			p.Rows = u.Stats.Rows
		}
		c, left, err := admit(u)
		if err != nil {
			p.Left, p.Why = left, err.Error()
			continue
		}
		c.part, c.side = p, u.Member
		sound = append(sound, c)
	}
	sound = atMost(ofOneForm(sound))
	r.Members = len(bySide(sound))
	members, err := memberwise(judge(sound))
	if err != nil || len(members) == 0 {
		return r, err
	}
	if err := bound(members); err != nil {
		return r, err
	}
	return r, r.add(members)
}

// A candidate is a sound update, or all of a member's.
type candidate struct {
	part  *Part
	side  string // who has one voice: the member
	stats *forecast.Stats
	w     []float64       // what it alone would learn
	one   *forecast.Stats // with the weight of one sample
	voice float64         // of 1 that its side has among those it is counted with

	signers []*candidate // of a member's several updates, by name
}

// admit refuses what cannot be, or must not be, the sums of so many rows.
func admit(u *Update) (*candidate, Left, error) {
	s := u.Stats
	if u.Member == "" {
		return nil, LeftFormer, errors.New("nobody answers for it: who did is no member any more")
	}
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

// add merges what is kept, in the order of names, and hashes the sum.
func (r *Round) add(members []*candidate) (err error) {
	kept := allSigners(members)
	if r.Stats, err = merged(kept, true); err != nil {
		return err
	}
	for _, c := range kept {
		c.part.Share = float64(c.stats.Weight*c.part.Factor) / r.Stats.Weight
	}
	r.Hash, err = HashOf(r.Stats)
	return err
}

// merged adds up in the order of names; bounded: by what each counts, else in full.
func merged(all []*candidate, bounded bool) (*forecast.Stats, error) {
	sum := zero(all[0].stats)
	for _, c := range all {
		factor := 1.0
		if bounded {
			factor = c.part.Factor
		}
		if err := sum.Merge(c.stats, factor); err != nil {
			return nil, err
		}
	}
	return sum, nil
}

// HashOf names a model by what it was learnt from. Updates say which they improve by it.
func HashOf(s *forecast.Stats) (lamppost.Hash, error) {
	b, err := s.AppendBinary(nil)
	return sha256.Sum256(b), err
}
