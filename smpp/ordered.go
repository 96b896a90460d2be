package smpp

// An orderable item knows its place in what it is ordered in: -1 when it was taken out.
type orderable[T any] interface {
	before(T) bool
	moved(to int)
}

// ordered is a heap of items that know their place (container/heap).
type ordered[T orderable[T]] []T

func (o ordered[T]) Len() int           { return len(o) }
func (o ordered[T]) Less(i, j int) bool { return o[i].before(o[j]) }

func (o ordered[T]) Swap(i, j int) {
	o[i], o[j] = o[j], o[i]
	o[i].moved(i)
	o[j].moved(j)
}

func (o *ordered[T]) Push(x any) {
	item := x.(T)
	item.moved(len(*o))
	*o = append(*o, item)
}

func (o *ordered[T]) Pop() any {
	last := len(*o) - 1
	item := (*o)[last]
	var none T
	(*o)[last] = none // or the array would keep it
	*o = (*o)[:last]
	item.moved(-1)
	return item
}
