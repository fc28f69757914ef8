package sig

// Sizes in bytes.
const (
	// SeedSize is the size of every private key's seed and of an HMAC key.
	SeedSize = 32

	// MaxPublicKeySize is the longest key that [ParsePublicKey] reads: an uncompressed P-256 point.
	MaxPublicKeySize = 65

	// MaxSignatureSize is the longest signature that any suite here makes or accepts.
	MaxSignatureSize = 64
)

const (
	ed25519KeySize = 32
	hmacKeySize    = SeedSize
	signatureSize  = 64 // EdDSA: R ‖ s; ES256: r ‖ s
)

const (
	// MaxBatch is how many items a [Verifier] puts into one equation. From 1,024 to 4,096 an item becomes 8% cheaper,
	// but one bad signature then costs four times as much to find.
	MaxBatch = 1024

	// minBatch is the fewest claims checked by one equation. At 4 an equation costs 14 µs a claim, a single check 21 µs;
	// at 2 they cost the same.
	minBatch = 4

	// minShare is the fewest items that [VerifyAll] gives to one worker: smaller batches cost more than a second core saves.
	minShare = 64

	// searchBudget bounds the search for culprits: the equations over a batch of n may cover searchBudget × n claims in
	// all, the first equation included; what is left undecided then is checked singly. One culprit needs at most 3n. With
	// more than a few, single checks are cheaper than further equations; and whoever floods us with forgeries makes a batch
	// about twice as dear as checking each signature alone (a budget of 4 made it 2.5 times, one of 6 over 3).
	searchBudget = 3

	// maxKeyDraws is how often [GenerateKey] draws before it calls the randomness broken. A P-256 draw fails once in 2^32.
	maxKeyDraws = 8
)
