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

	// MaxAggregate is how many signatures a half-aggregate may hold: as many as a segment has reports.
	MaxAggregate = 4096

	// minBatch is the fewest claims checked by one equation. At 4 an equation costs 14 µs a claim, a single check 21 µs;
	// at 2 they cost the same.
	minBatch = 4

	// minShare is the fewest items that [VerifyAll] gives to one worker: smaller batches cost more than a second core saves.
	minShare = 64

	// maxSingly is how many suspects are checked one by one rather than halved again: at 4 or 16 a search costs the same.
	maxSingly = 8

	// maxForks is how often a search may find culprits in both halves, on the way down to any of them, before it checks
	// singly. So the sums over a batch of n cover less than 2n claims for one culprit, 2.5n in a flood of forgeries, and
	// 3.5n at the very worst. A flood costs 1.7 times what checking each alone does; with 2 forks it would be 1.5 times, but
	// four culprits would cost half as much again as they do.
	maxForks = 3

	// maxKeyDraws is how often [GenerateKey] draws before it calls the randomness broken. A P-256 draw fails once in 2^32.
	maxKeyDraws = 8

	// combTeeth sets the size of a table of an ES256 key: 2^(combTeeth-1) points of 96 bytes, so 6 KiB. A tooth more
	// makes a check 2 µs faster and halves the keys that have a table (docs/decisions/0007-es256.md).
	combTeeth = 7
	combBytes = 96 << (combTeeth - 1)

	// maxCombs is how many keys have a table at a time: 10,922, together 64 MiB. A check with one takes 25 µs
	// at most, without 45, which is still less than crypto/ecdsa; on average 33 among 20,000 keys and 41 among 100,000.
	// With Go's usual setting the process may grow by twice the tables' size.
	maxCombs = 64 << 20 / combBytes

	// combAfter is how many valid signatures of a key come before its table: they would have saved what it costs.
	combAfter = 2

	// combPush is how many valid signatures without a table come before one is given to another key.
	combPush = 16
)
