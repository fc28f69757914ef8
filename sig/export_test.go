package sig

// DecodeZIP215 parses an Ed25519 key without the enrolment rule, so that tests can put weak keys before the equation.
var DecodeZIP215 = decodeEd25519

// ES256HalfOrder is the largest s that is valid.
const ES256HalfOrder = es256HalfOrder

// Covered returns how many claims the equations over v's last batch have covered; n was the number of its claims.
func (v *Verifier) Covered(n int) int { return searchBudget*n - v.budget }
