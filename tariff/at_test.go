package tariff_test

import (
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// The price at a time is that of the latest version whose prices are known then, with the levies that hold.
func TestAt(t *testing.T) {
	t.Parallel()
	const quarter = lamppost.EdgeMS
	base := tariff.Tariff{ID: "spot", Zone: tariff.Zone{Name: "UTC"}, Bands: []tariff.Band{{Name: "day", ToMin: 720, Price: 30}, {Name: "late", FromMin: 720, ToMin: 1440, Price: 40}}}
	day := base
	day.Bands, day.From = nil, 8*quarter
	day.Series = &tariff.Series{From: 8 * quarter, StepMS: quarter, Prices: []lamppost.Micro{5, -6}}
	day.Levies = []tariff.Levy{{Name: "tax", Price: 2, From: 9 * quarter}}
	for at, want := range map[lamppost.TimeMS]lamppost.Micro{0: 30, 7 * quarter: 30, 8 * quarter: 5, 9*quarter - 1: 5, 9 * quarter: -4, 10 * quarter: 30, 48 * quarter: 40} {
		if got, ok := tariff.At([]tariff.Tariff{base, day}, at); !ok || got != want {
			t.Errorf("at %d: %d, %v; want %d", at, got, ok, want)
		}
	}
	if _, ok := tariff.At([]tariff.Tariff{day}, 10*quarter); ok {
		t.Error("there is a price after the last one")
	}
}
