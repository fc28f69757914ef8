package render

// A unit is how a unit of prices is written for people, and as EN 16931 has it.
type unit struct{ sign, code string }

// units maps units as tariffs name them (SenML, RFC 8428, and what people write) to UN/ECE Recommendation 20.
var units = map[string]unit{
	"kWh": {"kWh", "KWH"}, "Wh": {"Wh", "WHR"}, "MWh": {"MWh", "MWH"}, "J": {"J", "JOU"}, "kJ": {"kJ", "KJO"}, "MJ": {"MJ", "3B"}, "GJ": {"GJ", "GV"},
	"kvarh": {"kvarh", "K3"}, "m3": {"m³", "MTQ"}, "m³": {"m³", "MTQ"}, "l": {"l", "LTR"}, "L": {"l", "LTR"},
	"kg": {"kg", "KGM"}, "g": {"g", "GRM"}, "t": {"t", "TNE"}, "m": {"m", "MTR"}, "km": {"km", "KMT"},
	"s": {"s", "SEC"}, "min": {"min", "MIN"}, "h": {"h", "HUR"}, unitDay: {"d", "DAY"}, "d": {"d", "DAY"}, unitCount: {unitCount, "C62"}, "": {"", "C62"}, "1": {unitCount, "C62"},
}

// unitDay is the unit of standing charges, unitCount that of things counted. Both are words of the reader's language.
const (
	unitDay    = "day"
	unitMinute = "min"
	unitCount  = "count"
)

// peakUnit is the unit of what an hour has in it.
func peakUnit(per string) string {
	if power, ok := map[string]string{"kWh": "kW", "Wh": "W", "MWh": "MW"}[per]; ok {
		return power
	}
	return unitSign(per) + "/h"
}

// unitSign is how people read a unit; one that is not known stands as it is.
func unitSign(name string) string {
	if u, ok := units[name]; ok {
		return u.sign
	}
	return name
}

// unitCode is the code of a unit; one that is not known is "mutually defined", and the line's text has its name.
func unitCode(name string) string {
	if u, ok := units[name]; ok {
		return u.code
	}
	return "ZZ"
}
