package admission

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestClientsThatLeaveCannotPileUpWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := flights{timeout: time.Minute}
		gone, leave := context.WithCancel(t.Context())
		leave()
		stuck := func(ctx context.Context) (any, error) { <-ctx.Done(); return nil, ctx.Err() }
		start := func(ctx context.Context, key string) error {
			h := &hold{patience: time.Second}
			defer h.stop()
			_, err := f.do(ctx, key, h, stuck)
			return err
		}
		for i := range maxFlights {
			_ = start(gone, fmt.Sprint(i))
		}
		synctest.Wait()
		if err := start(t.Context(), "one more"); !errors.Is(err, ErrBusy) {
			t.Errorf("past the bound: %v", err)
		}
		var pending *Pending
		if err := start(t.Context(), "0"); !errors.As(err, &pending) {
			t.Errorf("joining what runs: %v", err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if err := start(t.Context(), "one more"); !errors.As(err, &pending) {
			t.Errorf("after the work has ended: %v", err)
		}
		time.Sleep(2 * time.Minute)
	})
}

func TestHoldThatIsUpStaysUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &hold{patience: time.Second}
		defer h.stop()
		began := time.Now()
		<-h.up()
		<-h.up()
		if took := time.Since(began); took != time.Second {
			t.Errorf("held for %s", took)
		}
	})
}
