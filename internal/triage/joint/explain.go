package joint

import "math"

// far is how unusual a quantity is.
func (q *quantity) far() float64 { return max(q.level.far, q.relation.far) }

// rarity is a quantity's part of the sum that makes the score.
func (q *quantity) rarity() float64 {
	far := q.far()
	far = float64(far * far)
	far = float64(far * far)
	return float64(far * far)
}

func (v *Vector) sum() float64 {
	sum := 0.0
	for i := range v.quantities {
		sum += v.quantities[i].rarity()
	}
	return sum
}

// scoreOf is the eighth root of the sum of the eighth powers: little more than the largest, and more if several are unusual. With many
// quantities one of them is always a little unusual, which the root of their number makes up for.
func (v *Vector) scoreOf(sum float64) float64 {
	return math.Sqrt(math.Sqrt(math.Sqrt(max(0, sum) / math.Sqrt(float64(len(v.names))))))
}

// explain names the most unusual quantities until the score without them is below the level, or there is no more room.
func (v *Vector) explain() ([]Reason, float64) {
	var named uint64
	reasons, score := v.reasons[:0], v.score
	for len(reasons) < cap(reasons) && (len(reasons) == 0 || score >= v.alarm.Level) {
		most, rest := -1, 0.0
		for i := range v.quantities {
			if !has(named, i) && (most < 0 || v.quantities[i].far() > v.quantities[most].far()) {
				most = i
			}
		}
		if most < 0 {
			break
		}
		named |= 1 << most
		for i := range v.quantities {
			if !has(named, i) {
				rest += v.quantities[i].rarity()
			}
		}
		reason := v.reason(most)
		reason.Worth = score - v.scoreOf(rest)
		reasons, score = append(reasons, reason), score-reason.Worth
	}
	return reasons, score
}

func (v *Vector) reason(i int) Reason {
	q := &v.quantities[i]
	r := Reason{Code: Level, Quantity: v.names[i], Value: q.scale.latest}
	expected, usual := q.level.mean, q.level.error()
	if q.relation.far >= q.level.far {
		r.Code, r.Other = Relation, v.names[v.relations.leans(i)]
		expected, usual = expected+q.level.smooth-q.relation.smooth, q.relation.error()
	}
	r.Low, r.High = q.scale.of(expected-usual), q.scale.of(expected+usual)
	return r
}
