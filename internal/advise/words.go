package advise

import (
	"math"
	"strconv"
	"strings"
)

// plain writes a number with at most three digits that count, and none of them for show.
func plain(v float64) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	if math.Abs(v) >= 100 {
		return thousands(math.Round(v))
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	text := strconv.FormatFloat(v, 'f', digits, 64)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

func thousands(v float64) string {
	text := strconv.FormatFloat(v, 'f', 0, 64)
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// span is "5 to 20", of a range in another unit.
func span(r Range, times float64) string {
	low, high := plain(r.Low*times), plain(r.High*times)
	if low == high {
		return low
	}
	return low + " to " + high
}

// figure is "low / mid / high".
func figure(r Range) string {
	if r == (Range{}) {
		return "–"
	}
	if r.Low == r.High {
		return plain(r.Mid)
	}
	return plain(r.Low) + " / " + plain(r.Mid) + " / " + plain(r.High)
}

// duration writes seconds.
func duration(s float64) string {
	switch {
	case s < 90:
		return plain(s) + " s"
	case s < 90*60:
		return plain(s/60) + " min"
	case s < 36*3600:
		return plain(s/3600) + " h"
	}
	return plain(s/86_400) + " days"
}

// years writes days.
func years(days float64) string {
	if days < 365 {
		return plain(math.Floor(days)) + " days"
	}
	return plain(days/365.25) + " years"
}

// and is "a, b and c".
func and(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
