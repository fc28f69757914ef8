package witness

import (
	"time"

	"github.com/lamppost/lamppost"
)

// Limits of a witness. Whoever asks is nobody it knows, so everything that is kept or done for a request has one.
const (
	MaxProofHashes  = 63                                                       // lines of a consistency proof (C2SP tlog-witness)
	MaxRequestBytes = lamppost.MaxCheckpointBytes + (MaxProofHashes+1)*46 + 32 // of add-checkpoint
	MaxLogSize      = 1 << 56                                                  // leaves; the arithmetic of proofs needs some room below 2^63
	MaxOriginBytes  = 255                                                      // of a log's origin
	MaxLogs         = 10_000                                                   // followed, removed ones too
	MaxKeys         = 8                                                        // of one log, old and new ones
	maxURLBytes     = 2_000                                                    // where a log's files are
	maxForks        = 16                                                       // proven, kept per log: the first ones
	maxUnresolved   = 16                                                       // not proven, kept per log: the last ones
	maxInFlight     = 64                                                       // checkpoints decided at once; more are told to come again
	requestTimeout  = 10 * time.Second                                         // for a request to come in and be answered
	resolveEvery    = time.Minute                                              // shortest time between two looks at a log's files
	resolveTimeout  = 2 * time.Minute                                          // for all files of a log that one look needs
	maxAdminBytes   = 1 << 20                                                  // a request of the administrator: a large pin
)
