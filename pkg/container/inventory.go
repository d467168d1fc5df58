// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"reflect"
	"strings"
	"sync"
	"time"
)

// Options say where to look. The zero value looks where Linux has these things.
type Options struct {
	// Sockets are where runtimes are asked, each that exists; nil means
	// DefaultSockets.
	Sockets []string
	// Cgroup is where the cgroup file systems are mounted, /sys/fs/cgroup by
	// default. In a container this must be the host's mount.
	Cgroup string
	// Proc is where the proc file system is mounted, /proc by default. It must
	// show the host's processes: the users of containers are read through it.
	Proc string
	// Relist is how often everything is listed and scanned again, 5 s by
	// default. It bounds how long a container stays unknown whose cgroup
	// nobody reported by Observe.
	Relist time.Duration
	// NRI is the socket by which the runtime is asked to tell of containers
	// before their first instruction; empty asks for nothing. See Placed.
	NRI string
}

// Inventory knows the containers of this node by cgroup id. A container exists
// here exactly as long as its cgroup does; the runtime only describes it, so
// nothing is forgotten while the runtime is away.
//
// All methods may be called by several goroutines at once. Only Refresh waits
// for the runtime.
type Inventory struct {
	opts    Options
	changes chan Change
	// pushed and wake hold at most one signal: something was added to pending,
	// respectively todo.
	pushed chan struct{}
	wake   chan struct{}

	refreshing sync.Mutex // one Refresh at a time

	mu sync.Mutex
	// sessions are those of the runtimes that answer.
	sessions []*session
	// lost tells of runtimes that answered once, and do not now, why; by socket.
	lost     map[string]error
	lastErr  error
	nri      NRIStats
	byCgroup map[uint64]*entry
	byPath   map[string]*entry
	// records is what the runtime said, by container id; it outlives the
	// connection.
	records map[string]record
	// pods is what Kubernetes said, by the runtime's id of a pod.
	pods map[string]podWord
	// epoch counts scans. An entry that was added after a scan began cannot
	// be judged by that scan.
	epoch   uint64
	pending []Change
	todo    []task
	// fresh are containers of which the users are to be read.
	fresh []*entry

	foreign foreignProcesses
}

type entry struct {
	*Container // replaced where it changes: others have it
	epoch      uint64
	goneAt     time.Time // zero while the cgroup exists
	nested     map[uint64]bool
	// reading is true while somebody attempts to read Users.
	reading bool
	placed  chan struct{} // closed by Placed
}

// Change says that a container appeared, became better known, or went.
type Change struct {
	Container Container
	// Gone is true when the cgroup was removed. Another change tells of one that the runtime describes after that.
	Gone bool
}

// Stats is the state of the inventory at one moment.
type Stats struct {
	// Runtimes are those that answer.
	Runtimes []Runtime
	// Connected is false while none answers, and while one does not of which
	// there are containers.
	Connected bool
	// Err is why, or why the cgroups could not be scanned.
	Err error
	// Known counts the containers that exist, Incomplete those among them of
	// which only the id is known.
	Known, Incomplete int
	// Nameless counts those of which the users are not known.
	Nameless int
	NRI      NRIStats
}

const (
	defaultRelist = 5 * time.Second
	// linger is how long a container is still found after its cgroup went:
	// its last events may be read later than the news of its end.
	linger = time.Minute
	// listTimeout bounds one Refresh, findTimeout one attempt of a look-up.
	listTimeout = 20 * time.Second
	findTimeout = time.Second
	// firstRetry and relist bound how often an absent runtime is tried.
	firstRetry = 100 * time.Millisecond
	// maxLookups is how many look-ups ask the runtime at the same time.
	maxLookups = 16
)

// attempts are the pauses before each question about a new cgroup. containerd
// may answer "not found" for a container whose cgroup exists already; a
// sandbox is known only after it started.
var attempts = []time.Duration{
	0, 5 * time.Millisecond, 15 * time.Millisecond, 30 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond,
	1600 * time.Millisecond, 3200 * time.Millisecond,
}

// detailPause is the shortest of them before what no policy waits for.
const detailPause = 200 * time.Millisecond

// New returns an empty inventory. Call Run to fill it.
func New(opts Options) *Inventory {
	if opts.Sockets == nil {
		opts.Sockets = DefaultSockets()
	}
	if opts.Cgroup == "" {
		opts.Cgroup = "/sys/fs/cgroup"
	}
	if opts.Proc == "" {
		opts.Proc = "/proc"
	}
	if opts.Relist == 0 {
		opts.Relist = defaultRelist
	}
	return &Inventory{
		opts:     opts,
		changes:  make(chan Change),
		pushed:   make(chan struct{}, 1),
		wake:     make(chan struct{}, 1),
		byCgroup: map[uint64]*entry{},
		byPath:   map[string]*entry{},
		records:  map[string]record{},
		pods:     map[string]podWord{},
		lost:     map[string]error{},
	}
}

// Lookup finds the container that a cgroup belongs to. false means that the
// cgroup is no container's as far as is known yet. A container is still found
// for a minute after its cgroup went. It is everybody's: nobody writes to it.
func (inv *Inventory) Lookup(cgroupID uint64) (*Container, bool) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	e, found := inv.byCgroup[cgroupID]
	if !found {
		return nil, false
	}
	return e.Container, true
}

// Containers returns every container that exists, as far as it is known now.
func (inv *Inventory) Containers() []Container {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	var all []Container
	for id, e := range inv.byCgroup {
		if id == e.CgroupID && e.goneAt.IsZero() {
			all = append(all, *e.Container)
		}
	}
	return all
}

// Observe tells of a new cgroup, with its path below the hierarchy's root. It
// returns at once; when the path may be a container's, the runtime is asked in
// the background and the answer comes through Changes and Lookup. A cgroup
// inside a container's is found by Lookup like the container, without a Change.
func (inv *Inventory) Observe(cgroupID uint64, cgroupPath string) {
	dir, id := containerDir(cgroupPath)
	if id == "" {
		inv.observeFreeName(cgroupID, cgroupPath)
		return
	}
	if dir == cgroupPath {
		inv.mu.Lock()
		defer inv.mu.Unlock()
		inv.add(cgroupDir{path: dir, id: cgroupID}, id)
		return
	}
	own, err := inv.containerAt(dir)
	if err != nil {
		return // it went meanwhile, and so did everything in it
	}
	inv.mu.Lock()
	defer inv.mu.Unlock()
	e := inv.add(own, id)
	e.nested[cgroupID] = true
	inv.byCgroup[cgroupID] = e
}

// containerAt finds the cgroup of a container by its path, on disk only when
// its own creation was not reported.
func (inv *Inventory) containerAt(dir string) (cgroupDir, error) {
	inv.mu.Lock()
	e := inv.byPath[dir]
	inv.mu.Unlock()
	if e != nil {
		return cgroupDir{path: dir, id: e.CgroupID}, nil
	}
	h, err := FindHierarchy(inv.opts.Cgroup)
	if err != nil {
		return cgroupDir{}, err
	}
	return h.stat(dir)
}

// observeFreeName looks at a cgroup without an id in its path. ctr names it
// /<namespace>/<container>; with any other name the container is found when
// the runtime is listed the next time.
func (inv *Inventory) observeFreeName(cgroupID uint64, cgroupPath string) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	dir := cgroupDir{path: cgroupPath, id: cgroupID}
	for _, r := range inv.records {
		if r.dir == cgroupPath {
			inv.add(dir, r.ID)
			return
		}
	}
	namespace, name, ok := strings.Cut(strings.TrimPrefix(cgroupPath, "/"), "/")
	if !ok || strings.Contains(name, "/") || strings.HasSuffix(namespace, ".slice") {
		return
	}
	inv.schedule(task{dir: dir, key: lookup{id: name, namespace: namespace}})
}

// Forget tells that a cgroup was removed.
func (inv *Inventory) Forget(cgroupID uint64) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	e, found := inv.byCgroup[cgroupID]
	if !found {
		return
	}
	if e.nested[cgroupID] {
		delete(e.nested, cgroupID)
		delete(inv.byCgroup, cgroupID)
		return
	}
	inv.gone(e)
}

// Changes is the feed of what happened, in order. Of a container that changed
// several times before the reader came, only the last state is delivered. It
// is closed when Run returns.
func (inv *Inventory) Changes() <-chan Change { return inv.changes }

// Stats reports the present state.
func (inv *Inventory) Stats() Stats {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	s := Stats{Connected: len(inv.sessions) > 0 && len(inv.lost) == 0, Err: inv.lastErr, NRI: inv.nri}
	for _, session := range inv.sessions {
		s.Runtimes = append(s.Runtimes, session.runtime)
	}
	for id, e := range inv.byCgroup {
		if id != e.CgroupID || !e.goneAt.IsZero() {
			continue
		}
		s.Known++
		if !e.Complete {
			s.Incomplete++
		}
		if e.Users == nil {
			s.Nameless++
		}
	}
	return s
}

// add makes sure that there is an entry for the container's cgroup. Called with
// mu held.
func (inv *Inventory) add(dir cgroupDir, id string) *entry {
	if e := inv.byCgroup[dir.id]; e != nil {
		return e
	}
	if old := inv.byPath[dir.path]; old != nil {
		inv.gone(old) // its end was not reported, and the name is used again
	}
	c := Container{ID: id, Runtime: runtimeFromPath(dir.path)}
	r, described := inv.records[id]
	if described {
		c = inv.describe(r.Container)
	}
	c.CgroupID, c.CgroupPath = dir.id, dir.path
	e := &entry{epoch: inv.epoch, nested: map[uint64]bool{}, Container: &c, placed: make(chan struct{})}
	inv.byCgroup[dir.id], inv.byPath[dir.path] = e, e
	inv.push(Change{Container: c})
	inv.fresh = append(inv.fresh, e)
	signal(inv.wake)
	if !described || r.more {
		inv.schedule(task{dir: dir, key: lookup{id: id, details: r.more}})
	}
	return e
}

// learn takes over what the runtime says of a container. Called with mu held.
func (inv *Inventory) learn(r record) {
	inv.records[r.ID] = r
	described := inv.describe(r.Container)
	for _, e := range inv.byCgroup {
		if e.ID != r.ID {
			continue
		}
		c := described
		c.CgroupID, c.CgroupPath, c.Users, c.Groups = e.CgroupID, e.CgroupPath, e.Users, e.Groups
		if reflect.DeepEqual(c, *e.Container) {
			continue
		}
		e.Container = &c
		inv.push(Change{Container: c, Gone: !e.goneAt.IsZero()})
	}
}

// gone marks the end of a container, once. Called with mu held.
func (inv *Inventory) gone(e *entry) {
	if !e.goneAt.IsZero() {
		return
	}
	e.goneAt = time.Now()
	delete(inv.byPath, e.CgroupPath)
	inv.push(Change{Container: *e.Container, Gone: true})
}

// purge removes what went long ago. Called with mu held.
func (inv *Inventory) purge(now time.Time) {
	for id, e := range inv.byCgroup {
		if !e.goneAt.IsZero() && now.Sub(e.goneAt) > linger {
			delete(inv.byCgroup, id)
		}
	}
	inv.purgePods()
}

// push queues a change for the reader, in place of an older one of the same
// container: the queue never holds more than one for each. Called with mu held.
func (inv *Inventory) push(c Change) {
	for i := range inv.pending {
		if inv.pending[i].Container.CgroupID == c.Container.CgroupID {
			inv.pending[i] = c
			return
		}
	}
	inv.pending = append(inv.pending, c)
	signal(inv.pushed)
}

// signal leaves at most one signal behind.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
