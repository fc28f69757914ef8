package demo

import (
	"time"

	"github.com/lamppost/lamppost"
)

// Limits and defaults.
const (
	DefaultFor = 30 * time.Second // wall time that the week takes
	MinFor     = 3 * time.Second

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
)
