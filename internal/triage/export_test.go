package triage

// Alone has a series of each model alone.
var Alone = map[string]func() *Series{
	"ranges": func() *Series { return alone(newRanges()) },
	"shift":  func() *Series { return alone(newShift()) },
	"short":  func() *Series { return alone(newDiscord(3, 8)) },
	"medium": func() *Series { return alone(newDiscord(12, 8)) },
	"long":   func() *Series { return alone(newDiscord(24, 8)) },
}

func alone(m Model) *Series {
	s, err := NewSeriesOf(Weighted{m, 1})
	if err != nil {
		panic(err)
	}
	return s
}
