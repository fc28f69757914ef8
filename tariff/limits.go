package tariff

import "github.com/lamppost/lamppost"

// Limits of pricing. They bound what one hostile tariff or order can cost a member, and keep sums inside their types.
const (
	MaxBands        = 64                                 // bands of a tariff
	MaxTransitions  = 256                                // clock changes of a zone: 128 years of summer time
	MaxSeriesPrices = int(MaxPeriodMS / lamppost.EdgeMS) // prices of a series: 400 days of quarter hours
	MaxScale        = 9                                  // decimal digits between the priced and the register's unit
	MaxPrice        = 1_000_000_000 * lamppost.MicroUnit // a price per unit or a standing charge per day, either sign
	MaxBlockEnd     = 1_000_000_000_000                  // the digits of a block's end
	MaxBlocks       = 16                                 // blocks of a tariff
	MaxLevies       = 16                                 // levies of a tariff
	MaxSessionMS    = 31 * dayMS                         // from the start of a session to its stop
	MaxSupplies     = 1024                               // supplies on an invoice
	MaxShares       = 64                                 // parties that share a device's profit
	MaxCosts        = 64                                 // declared costs of a device
	MaxBooked       = 8192                               // invoices in a period of its books
	MaxLimitDays    = 366                                // of a spending limit
	MaxNumberBytes  = lamppost.MaxNameBytes + 20         // an invoice number: the seller, a hyphen, a count

	// MaxPeriodMS is the longest period that is priced at once: 400 days, so that a year fits with its odd days.
	MaxPeriodMS = 400 * dayMS

	minuteMS lamppost.TimeMS = 60_000
	dayMS    lamppost.TimeMS = 24 * 60 * minuteMS
	dayMin                   = 24 * 60
	slotMin                  = 15 // the grid of bands and offsets, in minutes

	// maxTimeMS is the end of the year 9999. Times below it can be added up without care.
	maxTimeMS lamppost.TimeMS = 253_402_300_800_000
)
