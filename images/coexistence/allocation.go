package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Time that agents get to read an identity before an endpoint refers to it.
const identityGrace = 300 * time.Millisecond

type createdIdentity struct {
	id int64
	at time.Time
}

// identityFor returns the identity of labels, and creates it when it does not exist. It also returns for how long agents
// have been able to read it.
func (b *bridge) identityFor(ctx context.Context, security map[string]string) (int64, time.Duration, error) {
	key := labelKey(security)
	b.allocating.Lock()
	defer b.allocating.Unlock()
	objects, err := b.identities.GetIndexer().ByIndex(byLabels, key)
	if err != nil {
		return 0, 0, err
	}
	existing := []*identity{}
	for _, object := range objects {
		existing = append(existing, object.(*identity))
	}
	created, createdHere := b.created[key]
	if id, found := oldest(existing); found {
		b.clearDeletionMark(ctx, existing, id)
		if createdHere && time.Since(created.at) > time.Minute {
			delete(b.created, key)
		}
		if createdHere && created.id == id {
			return id, time.Since(created.at), nil
		}
		return id, time.Hour, nil
	}
	if createdHere && time.Since(created.at) < 10*time.Second {
		return created.id, time.Since(created.at), nil
	}
	for {
		id := randomID(b.clusterID)
		object, err := toUnstructured(buildIdentity(id, security))
		if err != nil {
			return 0, 0, err
		}
		_, err = b.dynamic.Resource(identitiesResource).Create(ctx, object, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			continue
		}
		if err != nil {
			return 0, 0, fmt.Errorf("cannot create an identity: %w", err)
		}
		b.created[key] = createdIdentity{id, time.Now()}
		return id, 0, nil
	}
}

// clearDeletionMark removes the operator's mark for deletion, as agents do when they start to use an identity.
func (b *bridge) clearDeletionMark(ctx context.Context, identities []*identity, id int64) {
	for _, candidate := range identities {
		if _, marked := candidate.Annotations[heartbeat]; !marked || candidate.Name != strconv.FormatInt(id, 10) {
			continue
		}
		patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:null}}}`, heartbeat)
		if _, err := b.dynamic.Resource(identitiesResource).Patch(ctx, candidate.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			slog.Warn("cannot clear the deletion mark of an identity", "identity", candidate.Name, "error", err)
		}
	}
}
