package sig

import (
	"encoding/binary"
	"math/big"

	"filippo.io/nistec"
)

// A comb is a table of multiples of one point Q, from which k·Q takes 36 additions and 36 doublings instead of 256
// doublings and more (Lim, Lee, "More flexible exponentiation with precomputation", 1994).
//
// An odd k below 2^256 is the sum of 259 terms d_i·2^i with every d_i 1 or -1: d_258 is 1, and d_i is 1 where bit i+1 of k is
// set. Written in 7 rows of 37, column c holds the digits of 2^c, 2^(c+37), … 2^(c+222). So with
//
//	comb[i] = 2^222·Q ± 2^185·Q ± … ± 2^37·Q ± Q     adding 2^(37j)·Q where bit j of i is set, else subtracting it
//
// each column is an entry or the negative of one, and k·Q is the sum of 2^c times column c. No entry is infinity.
type comb [1 << (combTeeth - 1)]nistec.P256Point

const combColumns = (256 + combTeeth - 1) / combTeeth

func newComb(q *nistec.P256Point) *comb {
	var teeth [combTeeth]nistec.P256Point
	teeth[0].Set(q)
	for j := 1; j < combTeeth; j++ {
		teeth[j].Set(&teeth[j-1])
		for range combColumns {
			teeth[j].Double(&teeth[j])
		}
	}
	const top = combTeeth - 1
	var step nistec.P256Point
	c := new(comb)
	c[0].Set(&teeth[top])
	for j := range top {
		c[0].Add(&c[0], step.Negate(&teeth[j]))
	}
	for j := range top {
		step.Double(&teeth[j]) // from subtracted to added
		for i := range 1 << j {
			c[1<<j|i].Add(&c[i], &step)
		}
	}
	return c
}

// mul sets p to k·Q for a k in [1, n-1]. It may change k.
func (c *comb) mul(p *nistec.P256Point, k *big.Int) {
	even := k.Bit(0) == 0
	if even {
		k.Sub(p256Order, k) // and n is odd
	}
	var columns [combColumns]nistec.P256Point
	c.fetch(&columns, k)
	p.Set(&columns[combColumns-1])
	for i := combColumns - 2; i >= 0; i-- {
		p.Double(p)
		p.Add(p, &columns[i])
	}
	if even {
		p.Negate(p)
	}
}

// fetch copies the columns of an odd k, all before any is used: most entries of a large fleet are not in the processor's
// cache, and it waits for many at a time in a loop as short as the second one here, but not across an addition.
func (c *comb) fetch(columns *[combColumns]nistec.P256Point, k *big.Int) {
	rows := digits(k)
	var at [combColumns]uint64
	for i := range at {
		for j, row := range rows {
			at[i] |= row >> i & 1 << j
		}
	}
	const positive = 1 << (combTeeth - 1)
	for i := range columns {
		n := at[i]
		if n&positive == 0 {
			n = ^n
		}
		columns[i].Set(&c[n&(positive-1)])
	}
	for i := range columns {
		if at[i]&positive == 0 {
			columns[i].Negate(&columns[i])
		}
	}
}

// digits returns the digits of an odd k, a row in each word: 1 for 1, 0 for -1. The bits above a row mean nothing.
func digits(k *big.Int) (rows [combTeeth]uint64) {
	var b [32]byte
	k.FillBytes(b[:])
	var words [6]uint64 // little-endian
	for i := range 4 {
		words[i] = binary.BigEndian.Uint64(b[24-8*i:])
	}
	for i := range 4 {
		words[i] = words[i]>>1 | words[i+1]<<63
	}
	const last = combTeeth*combColumns - 1
	words[last/64] |= 1 << (last % 64)
	for j := range rows {
		at, shift := j*combColumns/64, j*combColumns%64
		rows[j] = words[at]>>shift | words[at+1]<<(64-shift)
	}
	return rows
}
