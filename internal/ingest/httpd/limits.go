package httpd

import "time"

// Limits of the HTTP front door. A report's size is limited by lamppost.MaxReportBytes.
const (
	DefaultMaxWait = 10 * time.Second // for a report to be committed, before its device is asked to send it again
	readTimeout    = 30 * time.Second // for a body, after the request's header
	maxEnrolBytes  = 4 << 10          // the body of an enrolment
	maxGuardBytes  = 64 << 10         // a guard's word
	maxGuardsBytes = 16 << 20         // the words of all guards of a gateway

	maxDesiredWait = 50 * time.Second // for something else to be desired; less than proxies wait

	maxDealBytes = 8 << 10 // an offer or acceptance: a dozen short fields and a signature
	maxDeals     = 60      // orders of a device about its dealings in a failureWindow: each stands in the log, a refused one too

	maxProofs      = 4                // in the making at once
	maxSegments    = 8                // of gateways, in the making at once
	maxSegmentWait = 30 * time.Second // for a segment to be committed, before its gateway is asked to send it again

	// A device's token may be given wrongly so often from one address, then not be tried for the rest of the window.
	maxFailures   = 10
	failureWindow = time.Minute
	maxFailing    = 4096 // pairs of address and device that are remembered
)
