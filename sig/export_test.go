package sig

// DecodeZIP215 parses an Ed25519 key without the enrolment rule, so that tests can put weak keys before the equation.
var DecodeZIP215 = decodeEd25519

// ES256HalfOrder is the largest s that is valid.
const ES256HalfOrder = es256HalfOrder

// Covered returns how many claims the sums over v's last batch have covered together.
func (v *Verifier) Covered() int { return v.covered }

// Keys returns how many different keys v's last batch had.
func (v *Verifier) Keys() int { return len(v.keys.keys) }
