package numbers

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

// What one file may hold. At the most it takes 200 MB for its numbers, 16 for its ranges and 10 for its prefixes.
const (
	maxNumbers  = 50_000_000
	maxRanges   = 1_000_000
	maxPrefixes = 100_000
	maxText     = 4 << 30 // bytes, unpacked
	maxLine     = 64 << 10
	maxErrors   = 5 // bad lines that are named before the rest is left unread
)

// A list is what stood in one file. It does not change.
type list struct {
	numbers  set
	ranges   []span
	prefixes []uint64

	path string
	info os.FileInfo
	read time.Time // when reading began
}

// has says that number n stands in the list as itself or within a range.
func (l *list) has(n uint64) bool {
	return l != nil && (l.numbers.has(n) || within(l.ranges, n))
}

func (l *list) len() int {
	if l == nil {
		return 0
	}
	return l.numbers.len() + len(l.ranges) + len(l.prefixes)
}

// settled is how much older than its reading a file must be: within the granularity of its time it may have changed unseen.
const settled = 2 * time.Second

// is says that the file at path is still the one that was read.
func (l *list) is(path string, info os.FileInfo) bool {
	return l != nil && l.path == path && unchanged(l.info, info) && l.read.Sub(l.info.ModTime()) >= settled
}

func unchanged(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// readList reads the file at path, or returns previous when that is what it is. No error holds what stood in a line.
func readList(path string, previous *list) (*list, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if previous.is(path, info) {
		return previous, nil
	}
	l := &list{path: path, info: info, read: time.Now()}

	var text io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if text, err = gzip.NewReader(bufio.NewReaderSize(f, maxLine)); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
	}
	if err := l.parse(text); err != nil {
		return nil, err
	}
	after, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !unchanged(info, after) {
		return nil, fmt.Errorf("read %s: it changed meanwhile", path)
	}
	return l, nil
}

// openRegular opens a file and nothing else: a pipe would have us wait for its other end.
func openRegular(path string) (*os.File, os.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("open %s: is no regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// parse fills the list. Its error joins one for each bad line, "path:line: why", maxErrors at most.
func (l *list) parse(text io.Reader) error {
	var errs []error
	numbers := setBuilder{}
	limited := &io.LimitedReader{R: text, N: maxText}
	lines := bufio.NewReaderSize(limited, maxLine)
	count := 0
	for n := 1; ; n++ {
		line, err := lines.ReadSlice('\n')
		if err != nil && err != io.EOF {
			if errors.Is(err, bufio.ErrBufferFull) {
				err = fmt.Errorf("is longer than %d bytes", maxLine)
			}
			return errors.Join(append(errs, fmt.Errorf("%s:%d: %w", l.path, n, err))...)
		}
		if n == 1 {
			line = bytes.TrimPrefix(line, byteOrderMark)
		}
		if bad := l.take(line, &numbers, &count); bad != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", l.path, n, bad))
			if len(errs) == maxErrors || errors.Is(bad, errFull) {
				return errors.Join(errs...)
			}
		}
		if err == io.EOF {
			break
		}
	}
	if limited.N == 0 {
		return errors.Join(append(errs, fmt.Errorf("%s: is longer than %d bytes", l.path, int64(maxText)))...)
	}
	if errs != nil {
		return errors.Join(errs...)
	}
	l.numbers = numbers.set()
	l.ranges = merge(l.ranges)
	return nil
}

var (
	errFull      = errors.New("too many entries")
	errLine      = fmt.Errorf("must be a number (+ and %d to %d digits), a range (+from-+to) or a prefix (+ and 1 to %d digits and *)", minDigits, maxDigits, maxDigits)
	errUnequal   = errors.New("the ends of a range must have as many digits")
	errBackwards = errors.New("the end of a range must not come before its beginning")
)

// take adds the entry of a line; count is of the numbers so far.
func (l *list) take(line []byte, numbers *setBuilder, count *int) error {
	if comment := bytes.IndexByte(line, '#'); comment >= 0 {
		line = line[:comment]
	}
	line = bytes.Trim(line, " \t\r\n")
	if len(line) == 0 {
		return nil
	}
	if n, digits, ok := parse(line); ok && digits >= minDigits {
		if *count++; *count > maxNumbers {
			return fmt.Errorf("%w: at most %d numbers", errFull, maxNumbers)
		}
		numbers.add(n)
		return nil
	}
	if prefix, ok := bytes.CutSuffix(line, []byte("*")); ok {
		n, _, ok := parse(prefix)
		if !ok {
			return errLine
		}
		if len(l.prefixes) == maxPrefixes {
			return fmt.Errorf("%w: at most %d prefixes", errFull, maxPrefixes)
		}
		l.prefixes = append(l.prefixes, n)
		return nil
	}
	before, after, _ := bytes.Cut(line, []byte("-"))
	from, fromDigits, fromOK := parse(before)
	to, toDigits, toOK := parse(after)
	switch {
	case !fromOK || !toOK || fromDigits < minDigits || toDigits < minDigits:
		return errLine
	case fromDigits != toDigits:
		return errUnequal
	case to < from:
		return errBackwards
	case len(l.ranges) == maxRanges:
		return fmt.Errorf("%w: at most %d ranges", errFull, maxRanges)
	}
	l.ranges = append(l.ranges, span{from, to})
	return nil
}
