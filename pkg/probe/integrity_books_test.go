// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// books are what a storm produced, what came of it, and what was counted as lost.
type books struct {
	*whole
	before   Stats
	consumed [2]uint64
}

// quiet waits until nothing is on its way any more.
func (w *whole) quiet() {
	w.p.Drain(time.Second)
	for {
		select {
		case <-w.p.Events():
		case <-time.After(200 * time.Millisecond):
			return
		}
	}
}

func (w *whole) consumed() [2]uint64 {
	return [2]uint64{w.p.rings.events.readUpTo(), w.p.rings.alerts.readUpTo()}
}

func (w *whole) open() *books { return &books{whole: w, before: w.p.Stats(), consumed: w.consumed()} }

// lost are the records that each ring had no room for.
func (b *books) lost() [2]uint64 {
	s := b.p.Stats()
	return [2]uint64{s.LostEvents - b.before.LostEvents, s.LostAlerts - b.before.LostAlerts}
}

// until waits for something that the storm makes true.
func (b *books) until(what string, is func() bool) {
	b.t.Helper()
	for begin := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		lost := b.lost()
		b.gone.Store(int64(lost[eventsRing] + lost[alertsRing]))
		b.room.Broadcast()
		for _, d := range b.doers {
			d.mu.Lock()
			fault := d.fault
			d.mu.Unlock()
			require.NoError(b.t, fault)
		}
		require.Less(b.t, time.Since(begin), 20*time.Minute, what)
	}
}

// flood keeps the receiver from receiving until both rings are full, and some
// records more.
func (b *books) flood() {
	b.t.Helper()
	before := b.lost()
	b.held.Lock()
	b.flooding.Store(true)
	b.until("rings to overflow", func() bool {
		now := b.lost()
		return now[eventsRing] >= before[eventsRing]+100 && now[alertsRing] >= before[alertsRing]+100
	})
	b.flooding.Store(false)
	b.held.Unlock()
}

// settle waits until all that was put into the rings has come out.
func (b *books) settle() {
	b.t.Helper()
	b.until("events in the rings", func() bool {
		s := b.p.Stats()
		return uint64(b.received.Load()) >= s.Events-b.before.Events+s.Alerts-b.before.Alerts
	})
}

// counted is what the doers did, by ring and kind.
func (w *whole) counted() (produced [2]map[string]int) {
	produced = [2]map[string]int{{}, {}}
	for _, d := range w.doers {
		for _, did := range d.acts {
			a := w.act(d, did.life, int(did.step))
			ring := alertsRing
			if a.place == placeLogged {
				ring = eventsRing
			}
			produced[ring][a.name]++
		}
		for _, r := range d.ran {
			produced[eventsRing]["fork"]++
			produced[eventsRing]["exit"]++
			switch r.place {
			case placeRefused:
				produced[alertsRing]["refused exec"]++
				continue
			case placeAlerted:
				produced[alertsRing]["exec copy"]++
			}
			produced[eventsRing]["exec"]++
		}
	}
	return produced
}

// balance compares what was produced with what was delivered and what was counted.
func (b *books) balance() {
	b.t.Helper()
	t := b.t
	after, lost := b.p.Stats(), b.lost()
	if b.corrupt > 0 {
		t.Errorf("%d events are not whole, the first one: %s", b.corrupt, b.fault)
	}
	// Where the kernel passes over the programs of forks, execs and ends, it says so,
	// also for those of threads.
	overlooked := after.Overlooked - b.before.Overlooked
	produced, rings := b.counted(), [2]string{"events", "alerts"}
	inRing := [2]uint64{after.Events - b.before.Events, after.Alerts - b.before.Alerts}
	consumed := b.whole.consumed()
	for ring, kinds := range produced {
		made, delivered := 0, b.foreign[ring]
		for kind, n := range kinds {
			came := b.delivered[ring][kind]
			t.Logf("%s ring, %s: %d produced, %d delivered", rings[ring], kind, n, came)
			require.LessOrEqual(t, came, n, "%s: %s", rings[ring], kind)
			made, delivered = made+n, delivered+came
		}
		t.Logf("%s ring: %d produced, %d delivered, %d counted as lost, %d overlooked; %d of others", rings[ring], made, delivered-b.foreign[ring], lost[ring], overlooked, b.foreign[ring])
		require.EqualValues(t, inRing[ring], delivered, "%s: what is in the ring comes out", rings[ring])
		missing := uint64(made - delivered + b.foreign[ring])
		if missing < lost[ring] || missing > lost[ring]+overlooked {
			t.Errorf("%s ring: %d are missing, %d lost and at most %d overlooked are counted", rings[ring], missing, lost[ring], overlooked)
		}
		// The fates of creations; of one that waited long for the reader, it came too late.
		fate := ringBytes(headerSize)
		fates := uint64(b.delivered[ring]["create"]-b.unsettled[ring]+ring) * fate // and of the end, an alert
		late := consumed[ring] - b.consumed[ring] - b.bytes[ring] - fates
		require.LessOrEqual(t, late, uint64(b.unsettled[ring])*fate, "%s: bytes of all records", rings[ring])
		require.Zero(t, late%fate, "%s: bytes of all records", rings[ring])
	}
	require.EqualValues(t, after.Unsettled-b.before.Unsettled, b.unsettled[eventsRing]+b.unsettled[alertsRing], "creations without a fate")
	for what, n := range map[string]uint64{
		"malformed": after.Malformed - b.before.Malformed, "no scratch memory": after.NoScratch - b.before.NoScratch,
		"refused without a record": after.Blind - b.before.Blind, "missed": after.Missed - b.before.Missed,
	} {
		require.Zero(t, n, what)
	}
	b.identify(t)
}

// identify compares the processes of events with what fork(2) returned.
func (w *whole) identify(t *testing.T) {
	t.Helper()
	for _, d := range w.doers {
		for _, r := range d.ran {
			if r.seen != 0 && r.place != placeRefused {
				require.EqualValues(t, r.pid, r.seen, "process of %q", r.args)
			}
		}
	}
}

// end stops the storm, and the receiver once all has come.
func (b *books) end() {
	b.t.Helper()
	b.stop.Store(true)
	b.room.Broadcast()
	b.running.Wait()
	b.settle()
	require.ErrorIs(b.t, makeFile(wholePlaces[placeRefused]+"/end", 0o640), unix.EPERM)
	select {
	case <-b.done:
	case <-time.After(time.Minute):
		require.FailNow(b.t, "the last event did not come")
	}
}
