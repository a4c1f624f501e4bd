package admission

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func patient() *hold { return &hold{patience: time.Hour} }

func TestEqualWorkIsDoneOnceAndOutlivesWhoAskedFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := flights{timeout: time.Minute}
		var runs atomic.Int32
		work := func(ctx context.Context) (any, error) {
			runs.Add(1)
			select {
			case <-time.After(time.Second):
				return "done", nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		first, leave := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		wait.Go(func() {
			if _, err := f.do(first, "k", patient(), work); !errors.Is(err, context.Canceled) {
				t.Errorf("who left got %v", err)
			}
		})
		synctest.Wait()
		for range 50 {
			wait.Go(func() {
				if v, err := f.do(t.Context(), "k", patient(), work); v != "done" || err != nil {
					t.Errorf("who joined got %v, %v", v, err)
				}
			})
		}
		synctest.Wait()
		leave()
		wait.Wait()
		if n := runs.Load(); n != 1 {
			t.Errorf("worked %d times", n)
		}
	})
}

func TestHeldWaiterIsToldToAskAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := flights{timeout: time.Minute}
		begun := time.Now()
		_, err := f.do(t.Context(), "k", &hold{patience: 25 * time.Second}, func(context.Context) (any, error) {
			time.Sleep(40 * time.Second)
			return nil, nil
		})
		var pending *Pending
		if !errors.As(err, &pending) || pending.StatusCode() != 429 || time.Since(begun) != 25*time.Second {
			t.Errorf("got %v after %s", err, time.Since(begun))
		}
		time.Sleep(time.Minute) // lets the work end
	})
}

func TestWorkEndsByItsOwnDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := flights{timeout: time.Minute}
		_, err := f.do(t.Context(), "k", patient(), func(ctx context.Context) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestPanicFailsOneImageNotTheProcess(t *testing.T) {
	t.Parallel()
	f := flights{timeout: time.Minute}
	_, err := f.do(t.Context(), "k", patient(), func(context.Context) (any, error) { panic("parser") })
	if err == nil || !strings.Contains(err.Error(), "parser") {
		t.Errorf("got %v", err)
	}
}

func TestQueueIsBoundedAndPerUpstream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := queues{width: 1}
		leave, err := q.enter(t.Context(), "slow")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		for range maxWaiting {
			wait.Go(func() {
				if _, err := q.enter(ctx, "slow"); !errors.Is(err, context.Canceled) {
					t.Errorf("who waited got %v", err)
				}
			})
		}
		synctest.Wait()
		if _, err := q.enter(ctx, "slow"); !errors.Is(err, ErrBusy) {
			t.Errorf("past the bound: %v", err)
		}
		if other, err := q.enter(ctx, "fast"); err != nil {
			t.Errorf("another upstream waits for the slow one: %v", err)
		} else {
			other()
		}
		cancel()
		wait.Wait()
		leave()
		if again, err := q.enter(t.Context(), "slow"); err != nil {
			t.Errorf("after all left: %v", err)
		} else {
			again()
		}
	})
}

func TestRecentIsBoundedInTimeAndNumber(t *testing.T) {
	t.Parallel()
	var r recent
	now := time.Now()
	if !r.first("a", now, time.Minute) || r.first("a", now.Add(time.Second), time.Minute) || !r.first("a", now.Add(time.Hour), time.Minute) {
		t.Error("a name is tried once in a window")
	}
	for i := range 3 * maxRecent {
		r.first(strings.Repeat("x", i%100)+time.Duration(i).String(), now, time.Minute)
	}
	if len(r.at) > maxRecent {
		t.Errorf("%d names are remembered", len(r.at))
	}
}
