package lamppost_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

// allows says what may happen to a function: whether it may be at a level after a restriction was known for some time, in contact or not.
func allows(f lamppost.Function, level uint8, known lamppost.TimeMS, online bool) bool {
	switch {
	case level == lamppost.FullService:
		return true
	case f.Class == lamppost.Life || level < f.Min:
		return false
	case f.Class == lamppost.Essential:
		return online && known >= f.Notice+f.Grace
	}
	return true
}

func drawFunction(r *rapid.T, what string) lamppost.Function {
	f := lamppost.DefaultFunction("f", lamppost.SafetyClass(rapid.IntRange(0, 3).Draw(r, what+" class")))
	if f.Class == lamppost.Essential {
		f.Notice += lamppost.TimeMS(rapid.IntRange(0, 2).Draw(r, what+" notice"))
		f.Grace += lamppost.TimeMS(rapid.IntRange(0, 2).Draw(r, what+" grace"))
	}
	if f.Class == lamppost.Essential || f.Class == lamppost.Public {
		f.Min = uint8(rapid.SampledFrom([]int{0, 30, 31, 100}).Draw(r, what+" min"))
	}
	return f
}

// Goal: a charter that does not fall allows nothing that the one before it forbids, and has no function in a lower class.
func TestCharterFalls(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		then, now := drawFunction(r, "then"), drawFunction(r, "now")
		before, after := lamppost.Charter{Functions: []lamppost.Function{then}}, lamppost.Charter{Functions: []lamppost.Function{now}}
		if why := before.Falls(&before); why != "" {
			t.Fatalf("%+v falls below itself: %s", then, why)
		}
		if after.Falls(&before) != "" {
			return
		}
		if now.Class.Rank() < then.Class.Rank() {
			r.Errorf("%s to %s is no fall", then.Class, now.Class)
		}
		for _, level := range []uint8{0, 29, 30, 31, 99} {
			for known := range lamppost.TimeMS(6) {
				for _, online := range []bool{false, true} {
					known := lamppost.MinNoticeMS + lamppost.MinGraceMS + known - 1
					if allows(now, level, known, online) && !allows(then, level, known, online) {
						r.Errorf("from %+v to %+v level %d is allowed, known for %d, online %v", then, now, level, known, online)
					}
				}
			}
		}
	})
}

// What a charter no longer names is compared as essential, and so is what only the later one names.
func TestCharterFallsByNames(t *testing.T) {
	t.Parallel()
	life, ordinary := lamppost.Function{Name: "a", Class: lamppost.Life}, lamppost.Function{Name: "b", Class: lamppost.Ordinary}
	both, first, second := &lamppost.Charter{Functions: []lamppost.Function{life, ordinary}}, &lamppost.Charter{Functions: []lamppost.Function{life}}, &lamppost.Charter{Functions: []lamppost.Function{ordinary}}
	for _, c := range []struct {
		name      string
		now, then *lamppost.Charter
		less      bool
	}{
		{"an ordinary function that is new", both, first, true},
		{"an ordinary function that is gone", first, both, false},
		{"a life function that is gone", second, both, true},
		{"a life function that is new", both, second, false},
		{"another owner", &lamppost.Charter{Owner: lamppost.CharterKey{Key: []byte{1}}, Functions: first.Functions}, first, true},
		{"a second party that is new", &lamppost.Charter{Second: &lamppost.CharterKey{}, Functions: first.Functions}, first, true},
	} {
		if why := c.now.Falls(c.then); (why != "") != c.less {
			t.Errorf("%s: %q", c.name, why)
		}
	}
}

// Goal: an offer says which of both signatures hold, against the keys of the charter before it and not its own.
func TestReadOffer(t *testing.T) {
	t.Parallel()
	first := lock(t, sig.EdDSA, true)
	next := lock(t, sig.EdDSA, true)
	next.Number = 2
	next.Functions[2].Min = 10
	stranger := keyOf(t, sig.EdDSA, "stranger")
	own := lock(t, sig.EdDSA, true)
	own.Number, own.Owner.Key = 2, stranger.Public().Bytes()
	sign := func(c *lamppost.Charter, p lamppost.Purpose, who string) []byte {
		return want(c.Sign(network, p, keyOf(t, sig.EdDSA, who)))(t)
	}
	for _, c := range []struct {
		name           string
		before         *lamppost.Charter
		raw, second    []byte
		signed, agreed bool
	}{
		{"the first, by the owner it names", nil, sign(first, lamppost.PurposeCharter, "acme"), nil, true, false},
		{"the first, by a stranger", nil, sign(first, lamppost.PurposeCharter, "stranger"), nil, false, false},
		{"a later one, by both", first, sign(next, lamppost.PurposeCharter, "acme"), sign(next, lamppost.PurposeAgreed, "tenant"), true, true},
		{"a later one, by the owner alone", first, sign(next, lamppost.PurposeCharter, "acme"), nil, true, false},
		{"a later one, by a stranger whom it names as owner", first, sign(own, lamppost.PurposeCharter, "stranger"), nil, false, false},
		{"the second party agrees to another one", first, sign(next, lamppost.PurposeCharter, "acme"), sign(first, lamppost.PurposeAgreed, "tenant"), true, false},
		{"the second party signed as an owner", first, sign(next, lamppost.PurposeCharter, "acme"), sign(next, lamppost.PurposeCharter, "tenant"), true, false},
		{"the owner agrees with himself", first, sign(next, lamppost.PurposeCharter, "acme"), sign(next, lamppost.PurposeAgreed, "acme"), true, false},
	} {
		o, err := lamppost.ReadOffer(network, c.before, c.raw, c.second)
		if err != nil || o.Signed != c.signed || o.Agreed != c.agreed {
			t.Errorf("%s: signed %v, agreed %v, %v", c.name, o.Signed, o.Agreed, err)
		}
	}
	if _, err := lamppost.ReadOffer("elsewhere", first, sign(next, lamppost.PurposeCharter, "acme"), []byte("junk")); err == nil {
		t.Error("junk is read as a signature")
	}
}
