package compact

import (
	"math/bits"
	"slices"
)

// The entropy coder is a binary range coder as in LZMA (Pavlov; Martin 1979) with probabilities that learn: no tables in a block, nothing but
// integers, and the decoder makes the same steps as the encoder. Behind its end a stream goes on with zeros, which need not be written.

const (
	rangeTop  = 1 << 24
	probBits  = 16
	probLeast = 32 // of 65,536: the surest bit costs 0.0007 bits
	probRates = 100
)

// rates are what a probability moves towards a bit, in 65,536ths: as in an average at first, never less than 1/100.
var rates = func() (r [probRates]uint32) {
	for n := range r {
		r[n] = uint32(131072 / (2*n + 3))
	}
	return r
}()

// A prob is how likely a bit of one meaning is 0, learnt from those before.
type prob struct {
	p uint16 // of 65,536; 0 stands for a half, before the first
	n uint16
}

func (b *prob) zero() uint32 {
	if b.n == 0 {
		return 1 << (probBits - 1)
	}
	return uint32(b.p)
}

func (b *prob) learn(bit uint32) {
	p, target := b.zero(), uint32(1<<probBits-1)
	rate := rates[b.n]
	if bit == 0 {
		p += (target - p) * rate >> 16
	} else {
		p -= p * rate >> 16
	}
	b.p = uint16(min(max(p, probLeast), target-probLeast))
	if b.n < probRates-1 {
		b.n++
	}
}

// A coder writes bits or reads them back: one code for both, so that they cannot differ.
type coder struct {
	b       []byte // written so far, or still to be read
	reading bool
	width   uint32

	low   uint64 // writing
	cache byte
	held  int // bytes that a carry may still change

	code uint32 // reading
}

func newWriter(b []byte) coder { return coder{b: b, width: 0xffffffff, held: 1} }

func newReader(b []byte) coder {
	c := coder{b: b, reading: true, width: 0xffffffff}
	for range 4 {
		c.code = c.code<<8 | uint32(c.next())
	}
	return c
}

func (c *coder) next() byte {
	if len(c.b) == 0 {
		return 0
	}
	x := c.b[0]
	c.b = c.b[1:]
	return x
}

// bit codes a bit by what is known of such bits. Reading, it returns what was written.
func (c *coder) bit(p *prob, bit uint32) uint32 {
	split := (c.width >> probBits) * p.zero()
	bit = c.split(split, bit)
	p.learn(bit)
	return bit
}

// plain codes a bit of which nothing is known.
func (c *coder) plain(bit uint32) uint32 { return c.split(c.width>>1, bit) }

func (c *coder) split(split, bit uint32) uint32 {
	if c.reading {
		bit = 0
		if c.code >= split {
			bit = 1
			c.code -= split
		}
	} else if bit != 0 {
		c.low += uint64(split)
	}
	if bit == 0 {
		c.width = split
	} else {
		c.width -= split
	}
	for c.width < rangeTop {
		c.width <<= 8
		if c.reading {
			c.code = c.code<<8 | uint32(c.next())
		} else {
			c.shift()
		}
	}
	return bit
}

// shift moves the highest byte of low out, once no carry can reach it.
func (c *coder) shift() {
	if c.low < 0xff000000 || c.low >= 1<<32 {
		carry := byte(c.low >> 32)
		for ; c.held > 0; c.held-- {
			c.b = append(c.b, c.cache+carry)
			c.cache = 0xff
		}
		c.cache = byte(c.low >> 24)
	}
	c.held++
	c.low = c.low & 0x00ffffff << 8
}

// end writes what is left, without the zeros at the end. The stream began at from.
func (c *coder) end(from int) []byte {
	// Of all numbers in [low, low+width) the one with most zeros at its end.
	for shift := 32; shift > 0; shift-- {
		mask := uint64(1)<<shift - 1
		if v := (c.low + mask) &^ mask; v < c.low+uint64(c.width) {
			c.low = v
			break
		}
	}
	for range 5 {
		c.shift()
	}
	for len(c.b) > from && c.b[len(c.b)-1] == 0 {
		c.b = c.b[:len(c.b)-1]
	}
	if len(c.b) > from {
		c.b = slices.Delete(c.b, from, from+1) // the first is 0: no carry reaches it
	}
	return c.b
}

// A magnitude model codes whole numbers above 0 by the place of their highest bit and by those that follow it.
const (
	mostBits = 64
	treeBits = 5 // after the highest, that are learnt; further ones are even
)

type magnitudes struct {
	follow [mostBits][1 << treeBits]prob
}

// rest codes the bits of v below its highest one, at place top.
func (m *magnitudes) rest(c *coder, top int, v uint64) uint64 {
	got, node := uint64(1), 1
	for i := top - 1; i >= 0; i-- {
		bit := uint32(v >> i & 1)
		if top-1-i < treeBits {
			bit = c.bit(&m.follow[top][node], bit)
			node = node<<1 | int(bit)
		} else {
			bit = c.plain(bit)
		}
		got = got<<1 | uint64(bit)
	}
	return got
}

// unary codes n by as many ones, at most most.
func unary(c *coder, p []prob, n, most int) int {
	for i := range most {
		if c.bit(&p[i], b2u(i < n)) == 0 {
			return i
		}
	}
	return most
}

func b2u(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// numbers codes whole numbers of any sign of one meaning.
type numbers struct {
	any, sign prob
	place     [mostBits]prob
	magnitudes
}

func (m *numbers) code(c *coder, v int64) int64 {
	if c.bit(&m.any, b2u(v != 0)) == 0 {
		return 0
	}
	negative := c.bit(&m.sign, b2u(v < 0)) != 0
	size := uint64(v)
	if v < 0 {
		size = -size
	}
	top := unary(c, m.place[:], bits.Len64(size)-1, mostBits-1)
	size = m.rest(c, top, size)
	if negative {
		return int64(-size)
	}
	return int64(size)
}
