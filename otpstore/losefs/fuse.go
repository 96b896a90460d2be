package losefs

import (
	"maps"
	"net/rpc"
	"os"
	"slices"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A server answers the kernel, and the test.
type server struct {
	fuse.RawFileSystem // what is not here is not supported

	mu      sync.Mutex // guards all below
	image   *image
	known   map[uint64]*file  // to the kernel, by id
	lookups map[uint64]uint64 // how often the kernel was told of each
	plan    Plan
	last    Change
}

// serve mounts at dir and serves until calls ends.
func serve(dir string, calls pipes) error {
	s := &server{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		image:         newImage(root), known: map[uint64]*file{}, lookups: map[uint64]uint64{},
	}
	mounted, err := fuse.NewServer(s, dir, &fuse.MountOptions{
		FsName: "losefs", Name: "losefs", DirectMount: true, DisableXAttrs: true, DisableReadDirPlus: true,
	})
	if err != nil {
		return err
	}
	go mounted.Serve() // until Unmount
	if err := mounted.WaitMount(); err != nil {
		return err
	}
	r := rpc.NewServer()
	if err := r.RegisterName("Disk", &control{s}); err != nil {
		return err
	}
	r.ServeConn(calls)
	if err := mounted.Unmount(); err != nil { // a test left a file open: it is gone all the same
		return os.NewSyscallError("umount", unix.Unmount(dir, unix.MNT_DETACH))
	}
	return nil
}

// A control is what the test may ask for.
type control struct{ s *server }

// Mounted answers when the file system is there.
func (c *control) Mounted(struct{}, *struct{}) error { return nil }

// Set is [Disk.Set].
func (c *control) Set(p Plan, _ *struct{}) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.plan, c.s.last = p, Change{}
	return nil
}

// Last is [Disk.Last].
func (c *control) Last(_ struct{}, out *Change) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	*out = c.s.last
	return nil
}

// Crash is [Disk.Crash].
func (c *control) Crash(l Loss, _ *struct{}) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.image, c.s.plan, c.s.last = c.s.image.after(l), Plan{}, Change{}
	return nil
}

// Clear is [Disk.Clear].
func (c *control) Clear(struct{}, *struct{}) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.image, c.s.plan, c.s.last = newImage(c.s.image.last), Plan{}, Change{}
	return nil
}

// change makes a change, if the plan lets it. f is called with mu held.
func (s *server) change(kind string, at int64, f func() fuse.Status) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last.Stopped {
		return fuse.EIO
	}
	s.last = Change{Kind: kind, Offset: at, Changes: s.last.Changes + 1, Syncs: s.last.Syncs}
	if kind == "sync" || kind == "sync names" {
		s.last.Syncs++
	}
	if s.last.Changes == s.plan.StopAt {
		s.last.Stopped = true
		if s.plan.StopAfter {
			f()
		}
		return fuse.EIO
	}
	return f()
}

// file gives what the kernel means by an id. mu is held.
func (s *server) file(id uint64) (*file, fuse.Status) {
	if f := s.known[id]; f != nil {
		return f, fuse.OK
	}
	return nil, fuse.Status(unix.ESTALE)
}

// tell makes a file known to the kernel. mu is held. The kernel is to remember nothing about it.
func (s *server) tell(f *file, out *fuse.EntryOut) {
	s.known[f.id] = f
	s.lookups[f.id]++
	out.NodeId, out.Generation = f.id, 1
	f.attr(&out.Attr)
}

func (f *file) attr(out *fuse.Attr) {
	*out = fuse.Attr{
		Ino: f.id, Size: uint64(f.size), Blocks: uint64(len(f.pages)) * (pageSize / 512), Blksize: pageSize,
		Mode: unix.S_IFREG | f.mode&0o7777, Nlink: 1, Owner: owner(),
	}
}

func owner() fuse.Owner { return fuse.Owner{Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())} }

func (s *server) String() string { return "losefs" }

func (s *server) Lookup(_ <-chan struct{}, _ *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.image.names[name]
	if f == nil {
		return fuse.ENOENT
	}
	s.tell(f, out)
	return fuse.OK
}

func (s *server) Forget(id, lookups uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lookups[id] -= min(lookups, s.lookups[id]); s.lookups[id] == 0 {
		delete(s.lookups, id)
		delete(s.known, id)
	}
}

func (s *server) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.NodeId == root {
		out.Attr = fuse.Attr{Ino: root, Mode: unix.S_IFDIR | 0o700, Nlink: 2, Owner: owner()}
		return fuse.OK
	}
	f, status := s.file(in.NodeId)
	if status == fuse.OK {
		f.attr(&out.Attr)
	}
	return status
}

func (s *server) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	if size, ok := in.GetSize(); ok {
		if status := s.truncate(in.NodeId, int64(size)); status != fuse.OK {
			return status
		}
	}
	if mode, ok := in.GetMode(); ok && in.NodeId != root {
		s.mu.Lock()
		if f := s.known[in.NodeId]; f != nil {
			f.mode = mode
		}
		s.mu.Unlock()
	}
	return s.GetAttr(cancel, &fuse.GetAttrIn{InHeader: in.InHeader}, out)
}

func (s *server) truncate(id uint64, size int64) fuse.Status {
	return s.change("truncate", size, func() fuse.Status {
		f, status := s.file(id)
		if status == fuse.OK {
			f.truncate(size)
		}
		return status
	})
}

func (s *server) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return s.change("name", 0, func() fuse.Status {
		s.tell(s.image.create(name, in.Mode), &out.EntryOut)
		return fuse.OK
	})
}

func (s *server) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return s.change("name", 0, func() fuse.Status {
		f, status := s.file(in.Oldnodeid)
		if status == fuse.OK {
			s.image.names[name] = f
			s.tell(f, out)
		}
		return status
	})
}

func (s *server) Unlink(_ <-chan struct{}, _ *fuse.InHeader, name string) fuse.Status {
	return s.change("name", 0, func() fuse.Status {
		delete(s.image.names, name)
		return fuse.OK
	})
}

func (s *server) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	if in.Flags != 0 {
		return fuse.EINVAL
	}
	return s.change("name", 0, func() fuse.Status {
		f := s.image.names[from]
		if f == nil {
			return fuse.ENOENT
		}
		delete(s.image.names, from)
		s.image.names[to] = f
		return fuse.OK
	})
}

func (s *server) Open(_ <-chan struct{}, in *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
	if in.Flags&unix.O_TRUNC != 0 {
		return s.truncate(in.NodeId, 0)
	}
	return fuse.OK
}

func (s *server) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, status := s.file(in.NodeId)
	if status != fuse.OK {
		return nil, status
	}
	return fuse.ReadResultData(buf[:f.read(buf, int64(in.Offset))]), fuse.OK
}

func (s *server) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	status := s.change("write", int64(in.Offset), func() fuse.Status {
		f, status := s.file(in.NodeId)
		if status != fuse.OK {
			return status
		}
		if more := f.needs(len(data), int64(in.Offset)); more > 0 && s.plan.Capacity > 0 && (s.image.used()+more)*pageSize > s.plan.Capacity {
			return fuse.Status(unix.ENOSPC)
		}
		f.write(data, int64(in.Offset))
		return fuse.OK
	})
	if status != fuse.OK {
		return 0, status
	}
	return uint32(len(data)), fuse.OK
}

func (s *server) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return s.change("sync", 0, func() fuse.Status {
		f, status := s.file(in.NodeId)
		if status != fuse.OK {
			return status
		}
		if s.last.Syncs == s.plan.FailSync {
			f.forget()
			return fuse.EIO
		}
		if s.plan.Deaf != "sync" {
			f.sync()
		}
		return fuse.OK
	})
}

func (s *server) FsyncDir(<-chan struct{}, *fuse.FsyncIn) fuse.Status {
	return s.change("sync names", 0, func() fuse.Status {
		if s.last.Syncs == s.plan.FailSync {
			return fuse.EIO
		}
		if s.plan.Deaf != "sync names" {
			s.image.sync()
		}
		return fuse.OK
	})
}

func (s *server) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (s *server) OpenDir(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.OK }

func (s *server) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.Sorted(maps.Keys(s.image.names))
	for i := int(in.Offset); i < len(names); i++ {
		if !out.AddDirEntry(fuse.DirEntry{Name: names[i], Ino: s.image.names[names[i]].id, Mode: unix.S_IFREG, Off: uint64(i + 1)}) {
			break
		}
	}
	return fuse.OK
}

func (s *server) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	blocks := uint64(1 << 24)
	if s.plan.Capacity > 0 {
		blocks = uint64(s.plan.Capacity / pageSize)
	}
	free := blocks - min(blocks, uint64(s.image.used()))
	*out = fuse.StatfsOut{Blocks: blocks, Bfree: free, Bavail: free, Bsize: pageSize, Frsize: pageSize, NameLen: 255}
	return fuse.OK
}
