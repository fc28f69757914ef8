package sepa

import "github.com/lamppost/lamppost"

// Limits of what a bank takes (EPC130-08, EPC132-08), and of what is read of a statement.
const (
	maxID       = 35
	maxName     = 70
	maxText     = 140
	maxPostcode = 16
	maxCity     = 35
	maxPayments = 100_000 // in a message

	maxAmount lamppost.Micro = 999_999_999_990_000 // 999,999,999.99

	maxEntryBytes = 16 << 20 // an entry of a statement with all its payments
	maxFieldBytes = 4 << 10  // a text of it
	maxEntries    = 1_000_000
)
