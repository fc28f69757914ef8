package judge

import "github.com/lamppost/lamppost"

// Quantise is how numbers stand in verdicts.
func Quantise(x float64) *lamppost.Decimal { return quantise(x) }

// SeriesBytes is what the series of a device's reading take, without journals, and what is reckoned for each.
func (j *Judge) SeriesBytes(id lamppost.DeviceID) (all []int, reckoned int) {
	for _, s := range j.devices[id].slots {
		all = append(all, s.series.model.(*seriesModel).Bytes())
	}
	return all, grownBytes
}

// Together are the names that are judged together, and what their vector takes in memory and is reckoned with.
func (j *Judge) Together(id lamppost.DeviceID) (names []string, bytes, reckoned int) {
	v := j.devices[id].vector
	if v == nil {
		return nil, 0, 0
	}
	m := v.unit.model.(*vectorModel)
	for _, q := range m.quantities {
		names = append(names, q.Name)
	}
	return names, m.Bytes() + cap(v.unit.journal)*entryMemory, int(vectorBytes(len(names)))
}
