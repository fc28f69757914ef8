package outlook

import "github.com/lamppost/lamppost"

// What an outlook rests on, and how much work it may be.
const (
	MaxAgreements = 20 // of a party; who has more has a fleet, and tools for it
	MinWeeks      = 4  // recorded in one piece: fewer say nothing about the next. The mean is of the latest so many; catalogues say "four"
	MaxWeeks      = 8  // that the range is of
	MinMonths     = 3  // whole ones, recorded in one piece, that tariffs are compared over
	MaxMonths     = 12
	MaxOffers     = 3 // cheaper tariffs that are named
	minSaving     = 1 // percent, under which a tariff is not called cheaper
	nearlyUsed    = 80

	dayMS  lamppost.TimeMS = 24 * 3600 * 1000
	weekMS                 = 7 * dayMS
	// holeMS is how long nothing may be recorded of a meter within its history: devices send once a day.
	holeMS = 2 * dayMS
	// silentMS is how old a meter's last reading may be.
	silentMS = 3 * dayMS
	monthMS  = 31 * dayMS // the longest
)
