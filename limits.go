package lamppost

// Limits of the protocol. Every decoder checks them before it allocates; a sender that stays below is never refused
// for size. Raising one is a change of the rules version, because members must agree on what they accept.
const (
	MaxNameBytes        = 40       // an id: device, party, member, tariff, agreement, metering point
	MaxReadingNameBytes = 64       // SenML base name + name
	MaxUnitBytes        = 16       // SenML unit
	MaxReadings         = 512      // readings in a report
	MaxMeterRecords     = 4        // records that a meter signed, in a report
	MaxMeterRecordBytes = 8 << 10  // such a record
	MaxReportBytes      = 16 << 10 // one report with its envelope
	MaxSegmentReports   = 4096     // reports in a segment
	MaxSegmentBytes     = 4 << 20  // a segment with its reports
	MaxTxBytes          = 5 << 20  // one transaction
	MaxBodyBytes        = 1 << 20  // the signed body of a transaction that is not a segment
	MaxBlockTxs         = 4096     // transactions in a block
	MaxBlockBytes       = 16 << 20 // transactions of a block together
	MaxProofBytes       = 64 << 20 // a receipt's or a statement's proof
	MaxKeyChangeBytes   = 512      // a change of keys with its envelope
	MaxVoucherBytes     = 200      // a voucher with its envelope
	MaxCashed           = 4096     // vouchers, and channels to close, in an order

	MaxCharterBytes = 4096 // a charter with its envelope
	MaxFunctions    = 32   // functions of a device in its charter
	MaxRestrictions = 16   // restrictions that are asked of a device at a time

	MaxSetpoints    = 16      // of a command
	MaxDesiredBytes = 4 << 10 // the message that tells a device

	MaxTextBytes = 200 // a name for people, a place, a memo, an address
	MaxMembers   = 256 // members of a network

	MaxWitnessNameBytes = 255 // the name of a witness's key
	MaxWitnesses        = 32  // witnesses of a network

	SaltBytes = 16 // a salt: 128 random bits

	// The sequence rule (docs/formats.md): how much is remembered of what a device has numbered.
	MaxGaps   = 64 // open gap intervals; one more closes the oldest as lost
	RecentIDs = 32 // numbers whose report ids are kept to tell an honest resend from a second report

	// MaxAheadMS is how far a synchronised clock may run ahead of the ledger before its report is refused.
	MaxAheadMS TimeMS = 24 * 3600 * 1000
	// KeyGraceMS is how long a key still counts after the next one took over, for what was signed and not yet sent.
	KeyGraceMS TimeMS = 30 * 24 * 3600 * 1000
	// ChallengeMS is how long a segment that was taken on its gateway's word can be challenged.
	ChallengeMS TimeMS = 7 * 24 * 3600 * 1000
	// MinNoticeMS and MinGraceMS are the least notice and grace of an essential function, MaxNoticeMS is the most of each, and of
	// how long a restriction is asked for.
	MinNoticeMS TimeMS = 7 * 24 * 3600 * 1000
	MinGraceMS  TimeMS = 72 * 3600 * 1000
	MaxNoticeMS TimeMS = 366 * 24 * 3600 * 1000
	// MaxDesireMS is how far from now a command ends.
	MaxDesireMS TimeMS = 7 * 24 * 3600 * 1000
	// ClaimMS is how long after a channel's end its payee may cash, before anybody may close it.
	ClaimMS TimeMS = 3 * 24 * 3600 * 1000
	// MaxOfferMS is how long a device's offer to others can be good, MaxAcceptMS how far from now a session begins that one accepts.
	MaxOfferMS  TimeMS = 7 * 24 * 3600 * 1000
	MaxAcceptMS TimeMS = 15 * 60 * 1000
	// EdgeMS is the grid of billing: UTC quarter hours. EdgeToleranceMS is how far from an edge a register may be read.
	EdgeMS          TimeMS = 15 * 60 * 1000
	EdgeToleranceMS TimeMS = 60 * 1000
)
