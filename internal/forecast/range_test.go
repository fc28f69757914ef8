package forecast_test

import (
	"math"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/forecast"
)

// TestCoversYoung: ranges hold nine of ten from the third day on, before a week is known, on days of a kind that was not seen, too.
func TestCoversYoung(t *testing.T) {
	t.Parallel()
	in, all := 0, 0
	for begin := range 30 {
		random, s := seeded(uint64(100+begin)), series(t, hourly)
		values := make([]float64, 8*24)
		for h := range values {
			values[h] = load(random, begin*24+h) + 8*random.ExpFloat64()
		}
		for h, v := range values {
			at := lamppost.TimeMS(begin*24+h) * hourMS
			for i, p := range s.Forecast(at).Points {
				if h+24 <= len(values) {
					all++
					if p.Low <= values[h+i] && values[h+i] <= p.High {
						in++
					}
				}
			}
			if err := s.Observe(at, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	if share := float64(in) / float64(all); math.Abs(share-0.9) > 0.03 {
		t.Errorf("%.3f are in the range", share)
	}
}

// lamps is light that is on at work, less so by one half on each day, and off on Saturdays and Sundays.
func lamps(hour int) float64 {
	day := hour / 24
	if hour%24 < 8 || hour%24 >= 18 || (day+3)%7 >= 5 {
		return 0
	}
	return 400 + float64(day*37%100)
}

// TestWithinWhatWas: what never was below 0 is not said to come to lie below, and its parts sum to what is said.
func TestWithinWhatWas(t *testing.T) {
	t.Parallel()
	s := series(t, hourly)
	tamed := 0
	for h := range 30 * 24 {
		at := lamppost.TimeMS(h) * hourMS
		for i, p := range s.Forecast(at).Points {
			sum := 0.0
			for _, worth := range s.Parts(i) {
				sum += worth
			}
			if math.Abs(sum-p.Middle) > 1e-9 {
				t.Fatalf("hour %d: parts sum to %v: %+v", h, sum, p)
			}
			if p.Middle < 0 {
				tamed++
			}
			if p.High < 0 || p.Low > 500 || p.Middle < -50 || p.Low < -250 {
				t.Errorf("hour %d, %d ahead: %+v", h, i+1, p)
			}
		}
		if err := s.Observe(at, lamps(h)); err != nil {
			t.Fatal(err)
		}
	}
	if tamed == 0 {
		t.Error("nothing was below 0: the test shows nothing")
	}
}

// TestRises: what rises beyond all that was in four weeks, day by day, comes to lie in the range: 19 of 20, as ranges reach what was.
func TestRises(t *testing.T) {
	t.Parallel()
	s := series(t, forecast.Settings{Step: 24 * hourMS, Horizon: 14})
	random, values := seeded(15), make([]float64, 400)
	for i := range values {
		values[i] = 10*float64(i) + 5*random.NormFloat64()
	}
	in, all := 0, 0
	for i, v := range values {
		if i >= 200 && i+14 <= len(values) {
			for h, p := range s.Forecast(lamppost.TimeMS(i) * 24 * hourMS).Points {
				all++
				if p.Low <= values[i+h] && values[i+h] <= p.High {
					in++
				}
			}
		}
		if err := s.Observe(lamppost.TimeMS(i)*24*hourMS, v); err != nil {
			t.Fatal(err)
		}
	}
	if share := float64(in) / float64(all); share < 0.88 || share > 0.96 {
		t.Errorf("%.3f are in the range", share)
	}
}
