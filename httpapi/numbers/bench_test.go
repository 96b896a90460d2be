package numbers_test

import (
	"bufio"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"otpgw/httpapi/numbers"
)

var many = flag.Int("numbers", 200_000, "numbers in the files of the benchmarks and of the test of memory")

// subscribers writes a file of n numbers, one in ten of a national plan of 9 digits for each ten million, sorted or not.
func subscribers(t testing.TB, n int, sorted bool) (path string, sample []string) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	path = filepath.Join(t.TempDir(), "subscribers")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	line := make([]byte, 0, 16)
	for i := range n {
		subscriber := uint64(i)*10 + random.Uint64N(10)
		if !sorted {
			subscriber = random.Uint64N(uint64(n) * 10)
		}
		line = strconv.AppendUint(append(line[:0], '+'), 34600000000+subscriber, 10)
		if i%(n/1000) == 0 {
			sample = append(sample, string(line))
		}
		w.Write(append(line, '\n'))
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path, sample
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestANumberTakesLittleMemory(t *testing.T) {
	for _, sorted := range []bool{true, false} {
		path, sample := subscribers(t, *many, sorted)
		before := heap()
		start := time.Now()
		plan := load(t, own(path), nil)
		took := time.Since(start)
		entries := plan.Entries()["own"]
		bytes := float64(heap()-before) / float64(entries)
		t.Logf("%d numbers, sorted %t: %.2f bytes each, loaded in %v, resident %s kB", entries, sorted, bytes, took, resident(t))
		if bytes > 10 { // 100 MB for ten million
			t.Errorf("%.1f bytes for a number, want 10 at the most", bytes)
		}
		for _, number := range sample {
			if got := plan.Judge(number); got != numbers.Served {
				t.Fatalf("Judge = %v of a number in the file", got)
			}
		}
	}
}

// The worst that can stand in a file: every number far from the next, so that a few hundred thousand of them share no 2^32. Ten
// million cannot: they take 5 bytes each.
func TestScatteredNumbersTakeLittleMemoryToo(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var text strings.Builder
	for range *many {
		text.WriteString("+" + strconv.FormatUint(100_000_000_000_000+random.Uint64N(900_000_000_000_000), 10) + "\n")
	}
	path := file(t, "own")
	write(t, path, text.String())
	before := heap()
	plan := load(t, own(path), nil)
	bytes := float64(heap()-before) / float64(plan.Entries()["own"])
	t.Logf("%.2f bytes each", bytes)
	if bytes > 60 {
		t.Errorf("%.1f bytes for a number, want 60 at the most", bytes)
	}
}

func TestJudgeAllocatesNothing(t *testing.T) {
	path, sample := subscribers(t, 10_000, false)
	plan := load(t, config(func(c *numbers.Config) {
		c.OwnFile, c.BlockedFile = path, file(t, "blocked", "+34700000000-+34700000009", "+34711*")
		c.Own, c.Landline = []string{"+346", "+34600"}, []string{"+349"}
	}), nil)
	i := 0
	if allocs := testing.AllocsPerRun(1000, func() {
		plan.Judge(sample[i%len(sample)])
		plan.Group(sample[i%len(sample)])
		plan.Judge("+34912345678")
		i++
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// resident is RssAnon of this process in kB.
func resident(t testing.TB) string {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "unknown"
	}
	_, after, _ := strings.Cut(string(status), "RssAnon:")
	kB, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	return kB
}

func BenchmarkJudge(b *testing.B) {
	path, _ := subscribers(b, *many, false)
	plan := load(b, config(func(c *numbers.Config) {
		c.OwnFile = path
		c.Own, c.Landline, c.Blocked = []string{"+34600", "+34"}, []string{"+349"}, []string{"+346999999"}
		c.BlockedFile, c.PortedOutFile = file(b, "blocked", "+34600000000"), file(b, "out", "+34600000001")
	}), nil)
	random := rand.New(rand.NewPCG(3, 4))
	asked := make([]string, 1<<16) // more than the caches hold of the table
	for i := range asked {
		asked[i] = "+" + strconv.FormatUint(34600000000+random.Uint64N(uint64(*many)*10), 10)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		plan.Judge(asked[i&(len(asked)-1)])
		i++
	}
}

func BenchmarkLoad(b *testing.B) {
	for name, sorted := range map[string]bool{"sorted": true, "unsorted": false} {
		b.Run(name, func(b *testing.B) {
			path, _ := subscribers(b, *many, sorted)
			b.ReportAllocs()
			for b.Loop() {
				load(b, own(path), nil)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(*many), "ns/number")
		})
	}
}
