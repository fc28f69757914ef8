package demo

import (
	"time"

	"github.com/lamppost/lamppost"
)

// Limits and defaults.
const (
	DefaultFor         = 30 * time.Second // wall time that the district's week takes
	DefaultChargingFor = 20 * time.Second // and the car park's two days
	MinFor             = 3 * time.Second

	network                    = "lindenau"
	member   lamppost.MemberID = "stadtwerke"
	teller   lamppost.PartyID  = "tenant-03" // whose bill is told and taken home
	setUpers                   = 16          // orders and enrolments under way at once while setting up
	payers                     = 3           // tenants who pay at the end

	pollEvery     = 20 * time.Millisecond
	stallLimit    = 30 * time.Second // without any acknowledgement or publication
	progressEvery = time.Second      // between lines; on a terminal the one line changes more often
	redrawEvery   = 200 * time.Millisecond
	maxReplyBytes = 64 << 20
	maxSetBytes   = 64 << 20 // of a public data set, unpacked
	takeTries     = 20       // of an order of decisions
	staysSeed     = 12       // of the car park's stays where the public set is not here
)
