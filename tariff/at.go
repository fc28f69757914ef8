package tariff

import "github.com/lamppost/lamppost"

// At returns the price per PerUnit of what is used at a time, with the levies on it, by the version that is valid then; false where none is, or its
// prices are not known that far. What a bill adds by its sum – blocks, capacity, standing, minimum – is not in it.
func At(versions []Tariff, at lamppost.TimeMS) (price lamppost.Micro, ok bool) {
	for i := len(versions) - 1; i >= 0; i-- {
		t := &versions[i]
		if at < t.From || t.To != 0 && at >= t.To {
			continue
		}
		if s := t.Series; s != nil && (at < s.From || at >= s.end()) {
			continue
		}
		price = t.stretch(at, at+1).price
		for k := range t.Levies {
			if l := &t.Levies[k]; l.Holds(at) {
				price += l.Price
			}
		}
		return price, true
	}
	return 0, false
}
