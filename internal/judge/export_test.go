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
