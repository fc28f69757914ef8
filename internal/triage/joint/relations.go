package joint

const (
	maxWide   = 132   // the longest vector of related numbers
	maxBefore = 2     // rows before that a row is held against
	delay     = 8     // rows until one is learnt, so that what begins unnoticed is not
	prior     = 20    // rows without any relation that are taken to have been seen before the first
	ridge     = 0.001 // the least variance of a number that all others leave, in its own
)

// relations are how a row's numbers, in deviations, go with each other and with the rows before: the inverse of their covariance, kept by
// recursive least squares. One matrix answers for every number what all the others say of it: with z the row and those before, and
// v = inverse·z, that is z[i] - v[i]/inverse[i,i] (Lauritzen, Graphical Models, 1996, 5.1.3).
type relations struct {
	n       int
	weight  float64   // rows learnt, prior included
	pseudo  int       // the number whose variance is kept above the ridge next
	rows    []float64 // the latest first; z is the beginning
	learnt  []float64 // by how much each of the latest is to be learnt
	inverse []float64 // lower triangle, row by row

	z, v, u []float64 // v and u are not of the state
}

// width is how many numbers are related where a row has n.
func width(n int) int {
	wide := n
	for wide/n <= maxBefore && wide+n <= maxWide {
		wide += n
	}
	return wide
}

func newRelations(n int) relations {
	wide := width(n)
	r := relations{n: n, rows: make([]float64, wide+delay*n), learnt: make([]float64, delay+1), inverse: make([]float64, place(wide, 0)),
		v: make([]float64, wide), u: make([]float64, wide)}
	r.z = r.rows[:wide]
	r.forget()
	return r
}

// place is where the inverse has a row's column; it is symmetric.
func place(i, j int) int {
	if i < j {
		i, j = j, i
	}
	return i*(i+1)/2 + j
}

func (r *relations) forget() {
	r.weight, r.pseudo = prior, 0
	clear(r.rows)
	clear(r.learnt)
	r.independent()
}

// independent forgets how numbers go together.
func (r *relations) independent() {
	clear(r.inverse)
	for i := range r.z {
		r.inverse[place(i, i)] = 1
	}
}

// row moves all rows back and returns the place for the next one, which begins as the one before.
func (r *relations) row(learn float64) []float64 {
	copy(r.rows[r.n:], r.rows)
	copy(r.learnt[1:], r.learnt)
	for i := range r.learnt {
		r.learnt[i] = min(r.learnt[i], learn) // of all that came since, the most unusual counts
	}
	r.learnt[0] = learn
	return r.rows[:r.n]
}

// predict compares the latest row with what it should be. What is not present becomes what the rest says of it: two rounds
// of Gauss and Seidel.
func (r *relations) predict(present uint64) {
	r.times(r.z)
	for range 2 {
		for i := range r.n {
			if !has(present, i) {
				r.move(i, within(r.z[i]-r.residual(i), farthest)-r.z[i])
			}
		}
	}
}

// residual is by how much a number of the latest row is above what all others say.
func (r *relations) residual(i int) float64 {
	return within(r.v[i]/r.inverse[place(i, i)], 2*farthest)
}

// leans returns which other quantity counts most in what is expected of one.
func (r *relations) leans(i int) int {
	other, most := i, 0.0
	for j := range r.z {
		if weight := max(r.inverse[place(i, j)], -r.inverse[place(i, j)]); j%r.n != i && weight > most {
			other, most = j%r.n, weight
		}
	}
	return other
}

// move changes a number of the latest row, and v with it.
func (r *relations) move(i int, by float64) {
	r.z[i] += by
	for j := range r.v {
		r.v[j] += float64(by * r.inverse[place(i, j)])
	}
}

// times sets v to inverse·z.
func (r *relations) times(z []float64) {
	row := r.inverse
	for i, zi := range z {
		sum := 0.0
		before, v := z[:i], r.v[:i]
		for j, p := range row[:i] {
			sum += float64(p * before[j])
			v[j] += float64(p * zi)
		}
		r.v[i] = sum + float64(row[i]*zi)
		row = row[i+1:]
	}
}

// learn learns the row that came so many rows ago. The inverse is updated for two rows at once (Sherman and Morrison): that one, and one that
// has nothing but one number in it, each number in turn, which keeps what is constant or a sum of others from making it infinite.
func (r *relations) learn() {
	learn := r.learnt[delay]
	if learn == 0 {
		return // before the first one
	}
	r.weight = min(r.weight+learn, memory)
	a := learn / r.weight
	z, k := r.rows[delay*r.n:], r.pseudo
	r.times(z)
	odd := 0.0
	for i, x := range z {
		odd += float64(x * r.v[i])
	}
	rise, keep := a/(1-a), 1/(1-a)
	gain := rise / (1 + float64(rise*odd))
	for j := range r.u {
		r.u[j] = float64(keep * (r.inverse[place(k, j)] - float64(float64(gain*r.v[k])*r.v[j])))
	}
	least := float64(float64(a*float64(len(r.z))) * ridge)
	gain2 := least / (1 + float64(least*r.u[k]))
	r.pseudo = (k + 1) % len(r.z)
	if !(odd >= 0 && r.u[k] > 0) || !r.update(gain, keep, gain2) {
		r.independent() // no covariance has such an inverse
	}
}

// update sets the inverse to keep·(inverse - gain·v·vᵀ) - gain2·u·uᵀ, and reports whether it may still be the inverse of a covariance.
func (r *relations) update(gain, keep, gain2 float64) bool {
	row := r.inverse
	for i := range r.z {
		v, u := float64(gain*r.v[i]), float64(gain2*r.u[i])
		vs, us := r.v[:i+1], r.u[:i+1]
		for j, p := range row[:i+1] {
			row[j] = float64(keep*(p-float64(v*vs[j]))) - float64(u*us[j])
		}
		if !(row[i] >= leastInverse && row[i] <= mostInverse) {
			return false
		}
		row = row[i+1:]
	}
	return true
}

// What the diagonal is between.
const leastInverse, mostInverse = 1e-9, 1e9
